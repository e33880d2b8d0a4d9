"""The stages: one function a verb, files and parameters in, files out, so that `dvc repro` alone is enough.

Nothing here asks a server or changes the registry, with two exceptions: answering as the champion fetches
the version that `mlflow/champions.json` names, and checks its hash; and training shows its curves in MLflow
while it runs, where there is one, and never waits for it.
"""

import subprocess
from pathlib import Path

from genarm import models
from genarm.config import Params, load_params
from genarm.errors import AdapterError, GenarmError
from genarm.models import arm as arms
from genarm.pipeline import warm_start as starts
from genarm.system.files import (
    read_curves,
    read_json,
    read_rows,
    sha256,
    write_curves,
    write_json,
    write_rows,
    write_text,
)
from genarm.system.layout import Layout
from genarm.system.progress import counting
from genarm.types import Champion, Decision, Message, Prompt, Response, Scorecard, Side, Verdict


def pairs(root: Path) -> dict[str, object]:
    """data/ -> artifacts/pairs: checked, split by prompt; what was refused goes to a quarantine file."""
    from genarm.data.pairs import make_pairs, write_pairs

    layout, params = Layout(root), load_params(root / "params.yaml")
    tokenizer = models.load_tokenizer(_base(params))
    config = params.pairs
    results = {d: make_pairs(layout.data, d, config.sources[d], config, tokenizer) for d in params.dimensions}
    write_pairs(layout, results)
    return read_json(layout.pairs_stats, dict[str, object])


def train(root: Path, dimension: str) -> dict[str, float]:
    """artifacts/pairs/<dimension> -> artifacts/arms/<dimension>: the challenger."""
    from genarm.training.launch import launch, needs_launch

    config = load_params(root / "params.yaml").train_config(dimension)
    if needs_launch(config):
        launch(root, dimension, config)
    else:
        train_here(root, dimension)
    return read_json(Layout(root).train_metrics(dimension), dict[str, float])


def train_here(root: Path, dimension: str) -> None:
    """Train in this process, alone or as one of several, of which the first one writes.

    Where the project has an MLflow store, the curves are shown there as they come; no file depends on it.
    """
    from genarm.registry.live_run import following
    from genarm.training.process_group import is_main_process, launched_as_main
    from genarm.training.train import train_arm

    layout, params = Layout(root), load_params(root / "params.yaml")
    config = params.train_config(dimension)
    start, begun = starts.fetch_start(root, dimension) or (None, None)
    pairs, data_md5, commit = layout.pairs(dimension, "train"), _data_md5(root), _git_commit(root)
    with following(
        root if launched_as_main() else None,
        f"train {dimension}",
        {"dimension": dimension, "data_md5": data_md5, "git_commit": commit, "pairs_sha256": sha256(pairs)},
        {"base": params.base.model, **config.model_dump(mode="json")},
    ) as live:
        result = train_arm(
            pairs,
            layout.pairs(dimension, "validation"),
            dimension=dimension,
            base=_base(params),
            dtype=params.base.dtype,
            config=config,
            out=layout.arm(dimension),
            checkpoints=layout.checkpoints(dimension),
            weight=params.respond.weights[dimension],
            data_md5=data_md5,
            git_commit=commit,
            start=start,
            started_from=begun,
            journal=live,
        )
        live.adapter_sha256 = result.card.adapter_sha256
    if is_main_process():
        write_text(layout.train_hash(dimension), result.card.adapter_sha256 + "\n")
        write_json(layout.train_metrics(dimension), result.metrics)
        write_curves(layout.train_curves(dimension), result.curves)
        write_rows(layout.train_quarantine(dimension), result.refused)


def respond(root: Path, side: Side, dimension: str | None = None) -> list[Response]:
    """Answer the evaluation prompts as base, challenger or champion; no rows where there is no champion."""
    layout, params = Layout(root), load_params(root / "params.yaml")
    if side == "base":
        dimension = None  # one file for all
        answers = _answer(params, layout, {}, {})
    elif dimension is None:
        raise GenarmError(f"genarm respond {side} needs a dimension", hint=f"genarm respond {side} positive")
    elif side == "challenger":
        weight = params.respond.weights[params.known(dimension)]
        answers = _answer(params, layout, {dimension: layout.arm(dimension)}, {dimension: weight})
    else:
        champion = read_champions(root).get(params.known(dimension))
        answers = []
        if champion is not None:
            from genarm import registry

            folder = registry.connect(root).fetch(dimension, champion, layout.champion_arm(dimension))
            answers = _answer(params, layout, {dimension: folder}, {dimension: champion.weight})
    write_rows(layout.responses(side, dimension), answers)
    return answers


def _answer(
    params: Params, layout: Layout, folders: dict[str, Path], weights: dict[str, float]
) -> list[Response]:
    from genarm.decoding import load_decoder
    from genarm.evaluation.respond import respond as answer

    base, sampling = _base(params), params.respond.sampling
    decoder = load_decoder(
        base,
        folders,
        dtype=params.base.dtype,
        strategy=sampling.strategy,
        batch_size=sampling.batch_size,
        # The base answers alone before it is guided; then there is nothing that could draft.
        speculate=sampling.speculate and bool(folders),
        device_map=params.base.device_map,
        compiled=sampling.compiled,
    )
    prompts = read_rows(layout.prompts, Prompt)[: params.respond.prompts]
    title = f"respond, guided by {', '.join(folders)}" if folders else "respond, unguided"
    with counting(title, len(prompts) * sampling.max_new_tokens, "tokens") as on_tokens:
        return answer(
            prompts,
            decoder,
            models.load_tokenizer(base),
            weights=weights,
            sampling=sampling,
            on_tokens=on_tokens,
        )


def judge(root: Path, dimension: str) -> list[Verdict]:
    """Compare the sides that answered for one dimension's challenger, on every dimension."""
    from genarm.judges import judge as compare
    from genarm.judges import load_judge

    layout, params = Layout(root), load_params(root / "params.yaml")
    sides = responses(layout, params.known(dimension))
    answered = {r.prompt_id for r in sides["base"]}
    prompts = [p for p in read_rows(layout.prompts, Prompt) if p.id in answered]
    verdicts = compare(prompts, sides, {d: load_judge(params.judge[d]) for d in params.dimensions})
    write_rows(layout.verdicts(dimension), verdicts)
    return verdicts


def responses(layout: Layout, dimension: str) -> dict[Side, list[Response]]:
    """What each side answered for one dimension; a side that is not there is left out."""
    sides: dict[Side, list[Response]] = {"base": read_rows(layout.responses("base"), Response)}
    for side in ("champion", "challenger"):
        if rows := read_rows(layout.responses(side, dimension), Response):
            sides[side] = rows
    return sides


def decide(root: Path) -> list[Decision]:
    """All dimensions together, since the chance of a false promotion is shared among them."""
    from genarm.evaluation.rule import decide as rule
    from genarm.evaluation.scorecard import metrics

    layout, params = Layout(root), load_params(root / "params.yaml")
    champions = read_champions(root)
    scorecards = [_scorecard(layout, d, champions.get(d)) for d in params.dimensions]
    decisions = rule(scorecards, params.decide)
    write_json(layout.scorecards, {s.dimension: s for s in scorecards})
    write_json(layout.figures, {s.dimension: metrics(s) for s in scorecards})
    write_json(layout.decisions, {d.dimension: d for d in decisions})
    return decisions


def _scorecard(layout: Layout, dimension: str, champion: Champion | None) -> Scorecard:
    """What was measured; of an ARM that is in use already nothing, since no run keeps its answers in step."""
    from genarm.evaluation.scorecard import score

    adapter = arms.adapter_hash(layout.arm(dimension))
    if champion is not None and champion.adapter_sha256 == adapter:
        return Scorecard(dimension, adapter, champion, [], [])
    verdicts = read_rows(layout.verdicts(dimension), Verdict)
    return score(dimension, adapter, champion, responses(layout, dimension), verdicts)


def report(root: Path) -> Path:
    """Everything above as one HTML page, with the same as Markdown and JSON beside it."""
    from genarm.report.build import ReportInput, build_report

    layout, params = Layout(root), load_params(root / "params.yaml")
    dimensions = params.dimensions
    scorecards = list(read_json(layout.scorecards, dict[str, Scorecard]).values())
    measured = [s.dimension for s in scorecards if s.comparisons]
    return build_report(
        ReportInput(
            decisions=list(read_decisions(root).values()),
            scorecards=scorecards,
            cards={d: arms.read_card(layout.arm(d)) for d in dimensions},
            train_metrics={d: read_json(layout.train_metrics(d), dict[str, float]) for d in dimensions},
            curves={d: read_curves(layout.train_curves(d)) for d in dimensions},
            prompts=read_rows(layout.prompts, Prompt)[: params.respond.prompts],
            responses={d: responses(layout, d) for d in measured},
            verdicts={d: read_rows(layout.verdicts(d), Verdict) for d in measured},
            pair_stats=read_json(layout.pairs_stats, dict[str, object]),
            quarantine=read_rows(layout.quarantine, dict[str, object]),
            lineage=_lineage(root, layout),
        ),
        layout.report,
    )


def smoke_test(root: Path, dimension: str, folder: Path) -> None:
    """Load a version as it would be served and let it answer once. Raises GenarmError where it does not."""
    from genarm.decoding import GuidedRequest, load_decoder

    params = load_params(root / "params.yaml")
    base = _base(params)
    prompt = models.render(models.load_tokenizer(base), [Message("user", "Say hello.")])
    weights = {dimension: params.respond.weights[dimension]}
    decoder = load_decoder(base, {dimension: folder}, dtype=params.base.dtype, batch_size=1)
    (answer,) = decoder.generate([GuidedRequest(tuple(prompt), weights, max_new_tokens=8)])
    if not answer.tokens or answer.kl <= 0:
        raise AdapterError(
            f"{folder} loads but does not guide: {len(answer.tokens)} tokens, KL to the base {answer.kl}",
            hint="train it again; an adapter of zeros is the base model",
        )


def read_champions(root: Path) -> dict[str, Champion | None]:
    """The snapshot of the champion aliases that this commit or run is judged against."""
    return read_json(Layout(root).champions, dict[str, Champion | None])


def read_decisions(root: Path) -> dict[str, Decision]:
    """What the last `decide` came to, by dimension."""
    return read_json(Layout(root).decisions, dict[str, Decision])


def _base(params: Params) -> models.ModelSource:
    return models.resolve(params.base.model, params.base.revision, params.base.chat_template)


def _data_md5(root: Path) -> str | None:
    from genarm.data.dvc import data_version

    return data_version(root)


def _git_commit(root: Path) -> str | None:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def git_dirty(root: Path) -> str:
    """`true` where tracked files differ from the commit, apart from what a run itself writes."""
    names = (
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ".",
        ":!dvc.lock",
        ":!mlflow/*.json",
    )
    done = subprocess.run(["git", *names], cwd=root, capture_output=True, text=True, check=False)
    return "true" if done.stdout.strip() else "false"


def _lineage(root: Path, layout: Layout) -> dict[str, str]:
    """Ids of servers, as the flow noted them: shown in the report, but no stage depends on them."""
    noted = read_json(layout.lineage, dict[str, str]) if layout.lineage.is_file() else {}
    return {"git commit": _git_commit(root) or "", "data md5": _data_md5(root) or "", **noted}

"""What a finished stage did, as one line for a reader, with the numbers that tell most of it."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, get_args

from genarm.data import dvc
from genarm.errors import GenarmError
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import JUDGE, PAIRS, PROMPTS, REPORT, RESPOND_OF, TRAIN, TUNE, dimension_of
from genarm.system.counted import counted
from genarm.system.files import read_json, read_rows
from genarm.system.metric_names import IMPLICIT_ACCURACY
from genarm.types import Prompt, Response, Side, Tuned, Verdict


def title_of(stage: str) -> str:
    """A stage as a person calls it, which is also how it is typed: `train@positive` -> `train positive`."""
    name, _, dimension = stage.partition("@")
    return "data" if stage == dvc.POINTER else f"{name.replace('-', ' ')} {dimension}".strip()


def summary(project: Project, stage: str) -> str:
    """`400 pairs, validation accuracy 0.55`, from what the stage wrote; empty where that says nothing."""
    name, dimension = stage.partition("@")[0], dimension_of(stage)
    sides: dict[str, Side] = {RESPOND_OF[side]: side for side in get_args(Side)}
    try:
        if name == dvc.POINTER:
            return f"version {(dvc.data_version(project.root) or '')[:12]}"
        if name == PAIRS:
            return _pairs(read_json(project.layout.pairs_stats(dimension), dict[str, Any]))
        if name == PROMPTS:
            return counted(len(read_rows(project.layout.prompts, Prompt)), "evaluation prompt")
        if name == TRAIN:
            return _train(read_json(project.layout.train_metrics(dimension), dict[str, float]))
        if name == TUNE:
            return _tuned(project.tuned(dimension))
        if name in sides:
            file = project.layout.responses(sides[name], dimension or None)
            return _responses(read_rows(file, Response), guided=name != RESPOND_OF["base"])
        if name == JUDGE:
            return _verdicts(read_rows(project.layout.verdicts(dimension), Verdict), dimension)
        if name == REPORT:
            return (project.layout.report / "report.html").relative_to(project.root).as_posix()
    except (GenarmError, OSError, KeyError, TypeError):  # a line for a reader is no reason to fail
        return ""
    return ""


def _pairs(stats: Mapping[str, Any]) -> str:
    refused = stats["rows"] - stats["pairs"]
    words = f"{counted(stats['pairs'], 'pair')}, {stats['splits']['train']['pairs']} to train on"
    return words + (f", {counted(refused, 'row')} refused" if refused else "")


def _train(metrics: dict[str, float]) -> str:
    words = counted(round(metrics["train/pairs"]), "pair")
    if (accuracy := metrics.get("validation/accuracy")) is not None:
        words += f", validation accuracy {accuracy:.2f}"
    if (before := metrics.get("validation/accuracy_before")) is not None:
        words += f" ({before:.2f} before)"
    if (learned := metrics.get(f"validation/{IMPLICIT_ACCURACY}")) is not None:
        words += f", implicit {learned:.2f}"
    return words


def _tuned(tuned: Tuned) -> str:
    if tuned.source == "params.yaml":
        return f"weight {tuned.weight:g}, from params.yaml"
    tried = [point for point in tuned.curve if point.kind == "guided"]
    if not tuned.within_limits:
        return f"none of {counted(len(tried), 'weight')} keeps the limits"
    chosen = next(point for point in tried if point.weight == tuned.weight)
    words = (
        f"weight {tuned.weight:g}, one of {len(tried)} tried"
        if len(tried) > 1
        else f"weight {tuned.weight:g}"
    )
    return f"{words}, win rate {chosen.win_rate.value:.2f} over base"


def _responses(responses: Sequence[Response], guided: bool) -> str:
    if not responses:
        return "no champion yet"
    words = f"{counted(len(responses), 'response')}, {fmean(r.tokens for r in responses):.0f} tokens each"
    return words + (f", KL {fmean(r.kl for r in responses):.2f}" if guided else "")


def _verdicts(verdicts: Sequence[Verdict], dimension: str) -> str:
    # Against the rival: the champion, or the base model while there is none.
    own = [v for v in verdicts if v.dimension == dimension and v.left == "challenger" and not v.held_out]
    rival = "champion" if any(v.right == "champion" for v in own) else "base"
    said = [v.preference for v in own if v.right == rival]
    read = [preference for preference in said if preference is not None]
    # A graded verdict counts as in the decision, so that both tell one number.
    rate = fmean((1 + p) / 2 for p in read) if read else 0
    words = counted(len(verdicts), "verdict") + (f", win rate {rate:.2f} over {rival}" if read else "")
    return words + (f", {len(said) - len(read)} of {len(said)} unread" if len(said) > len(read) else "")

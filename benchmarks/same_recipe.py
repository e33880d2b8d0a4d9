"""A/A: how often the champion's own recipe, trained with another seed, is promoted over that champion.

    python benchmarks/same_recipe.py --toy [--seeds 20] [--work FOLDER] [--json FILE]
    python benchmarks/same_recipe.py --project FOLDER [--seeds 5] [--work FOLDER] [--json FILE]

The champion is the ARM in `artifacts/arms` (of the toy, the one of seed 0). For each further seed, the real
stages train every dimension anew, answer with draws of their own, judge and decide, in this process and in a
copy of the project: DVC and the registry are not asked, and the project stays as it is. A finished seed is
kept in `--work`, so a second call goes on. A run counts where any dimension is promoted; the interval is
Clopper and Pearson's. With `decide.max_prompts`, each seed goes on after a hold as a run does.

Two trainings give two ARMs, of which one may really be better. So what is promoted answers again with other
draws: a promotion by chance would win half of the prompts then.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from scipy import stats

from genarm.models.arm import read_card
from genarm.pipeline import looking
from genarm.pipeline.project import Project
from genarm.pipeline.stages.decide import decide
from genarm.pipeline.stages.judge import judge
from genarm.pipeline.stages.pairs import pairs
from genarm.pipeline.stages.prompts import prompts
from genarm.pipeline.stages.respond import respond
from genarm.pipeline.stages.train import train
from genarm.system import metric_names as names
from genarm.system.files import read_json, write_json
from genarm.types import Champion, Provenance

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("artifacts", "data", "dvc.lock", "mlflow", ".*")  # of a project: what the copy makes itself
ALPHA_OF_INTERVAL = 0.05


def main() -> None:
    """Run what is not there yet, print the counts, and write them flat where a file is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--toy", action="store_true", help="a small project of this script")
    which.add_argument("--project", type=Path, help="the folder of a project whose ARMs are trained")
    parser.add_argument("--seeds", type=int, help="how many (20 for the toy, 5 for a project)")
    parser.add_argument("--work", type=Path, default=Path(".cache/same-recipe"), help="where seeds are kept")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    seeds = chosen.seeds or (20 if chosen.toy else 5)
    work = chosen.work.resolve() / ("toy" if chosen.toy else chosen.project.resolve().name)
    project = prepared(work / "project", None if chosen.toy else chosen.project.resolve())
    for seed in range(1, seeds + 1):
        file = work / f"seed-{seed}.json"
        if not file.is_file():
            started = time.monotonic()
            found = retrained(project, seed)
            write_json(file, {**found, "seconds": round(time.monotonic() - started, 1)})
        kept = json.loads(file.read_text(encoding="utf-8"))
        told = "; ".join(f"{d['outcome']}: {d['reasons'][0]}" for d in kept["decisions"].values())
        print(f"seed {seed}, {kept['seconds']:.0f} s: {told}", flush=True)
    figures = counted([work / f"seed-{seed}.json" for seed in range(1, seeds + 1)])
    figures["alpha"] = Project(project).params.decide.alpha
    print(
        f"{figures['promoted_runs']} of {figures['runs']} runs promoted the champion's own recipe, "
        f"95% interval [{figures['lower']:.3f}, {figures['upper']:.3f}], alpha {figures['alpha']:g}"
    )
    for dimension in Project(project).params.dimensions:
        rates = [f"{name} {figures[key]:.2f}" for name, key in shown(dimension) if key in figures]
        print(f"{dimension}: win rate over the champion, {', '.join(rates)}")
    if chosen.json:
        write_json(chosen.json, figures)


def shown(dimension: str) -> list[tuple[str, str]]:
    """What is told of a dimension's win rates, and under which name."""
    return [
        ("mean", f"win_rate_mean_{dimension}"),
        ("standard deviation", f"win_rate_sd_{dimension}"),
        ("of those promoted", f"win_rate_promoted_{dimension}"),
        ("of those with other draws", f"win_rate_again_{dimension}"),
    ]


def prepared(folder: Path, source: Path | None) -> Path:
    """The copy of a project, or the toy, with its champions; as it is where an earlier call made it."""
    if (folder / "mlflow" / "champions.json").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    if source is None:
        make_toy(folder)
    else:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for name in ("pairs", "arms", "train"):
            shutil.copytree(source / "artifacts" / name, folder / "artifacts" / name)
        if (source / "data").is_dir():
            (folder / "data").symlink_to(source / "data")  # a warm start or decide.extra may read it
        shutil.copy(source / "artifacts" / "prompts.jsonl", folder / "artifacts")
    project, champions = Project(folder), dict[str, Champion]()
    for dimension, config in project.params.dimensions.items():
        shutil.copytree(project.layout.arm(dimension), folder / "champions" / dimension)
        card = read_card(project.layout.arm(dimension))
        champions[dimension] = Champion(1, "m-1", card.adapter_sha256, config.weight)
    write_json(folder / "mlflow" / "looks.json", dict.fromkeys(champions))
    write_json(folder / "mlflow" / "champions.json", champions)  # last: then the copy is complete
    return folder


def retrained(folder: Path, seed: int) -> dict[str, Any]:
    """Decisions and win rates of ARMs of the same recipe with another seed, against the champions."""
    with_seed(folder, seed, draws=seed)
    project = Project(folder)
    dimensions = list(project.params.dimensions)
    for dimension in dimensions:
        shutil.rmtree(project.layout.checkpoints(dimension), ignore_errors=True)
        train(project, dimension, Provenance(None, None, project.params.dimensions[dimension].weight))
    looking.begin(project, dimensions, anew=True)
    while True:
        measure(project)
        if not project.looks():
            break
        look = looking.last_look(project, dimensions)
        print(f"  look {len(project.looks())}: {look.line}", flush=True)
        if not look.undecided:
            break
        looking.go_on(project, look.undecided)
    decisions, rates = project.decisions(), win_rates(project)
    again: dict[str, float] = {}
    if any(d.outcome == "promote" for d in decisions.values()):
        with_seed(folder, seed, draws=1000 + seed)
        measure(Project(folder))
        again = {d: r for d, r in win_rates(project).items() if decisions[d].outcome == "promote"}
    return {"decisions": decisions, "win_rates": rates, "again": again}


def win_rates(project: Project) -> dict[str, float]:
    """The last win rate over the champion of each dimension on itself."""
    found = read_json(project.layout.metrics, dict[str, Any])
    return {d: float(values[names.WIN_RATE][d]) for d, values in found.items() if values[names.WIN_RATE]}


def measure(project: Project) -> None:
    """All sides answer, the judges judge, and the rule decides."""

    def champion(dimension: str, _version: Champion, _folder: Path) -> Path:
        return project.root / "champions" / dimension

    respond(project, "base", None, champion)
    for dimension in project.params.dimensions:
        for side in ("challenger", "champion"):
            respond(project, side, dimension, champion)
        judge(project, dimension)
    decide(project)


def with_seed(folder: Path, seed: int, draws: int) -> None:
    """Note the seeds of training and of the draws in the copy's parameters, for every dimension."""
    yaml, path = YAML(), folder / "params.yaml"
    params: Any = yaml.load(path.read_text(encoding="utf-8"))
    for config in params["dimensions"].values():
        config["train"] = {**(config.get("train") or {}), "seed": seed}
    sampling = params.setdefault("respond", {}).setdefault("sampling", {})
    sampling["seed"] = draws
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)


def counted(files: list[Path]) -> dict[str, float]:
    """Runs, promotions by run and by dimension, and Clopper and Pearson's interval, as flat numbers."""
    runs = [read_json(file, dict[str, Any]) for file in files]
    found = [run["decisions"] for run in runs]
    promoted = sum(any(d["outcome"] == "promote" for d in run.values()) for run in found)
    exact = stats.binomtest(promoted, len(found)).proportion_ci(1 - ALPHA_OF_INTERVAL, method="exact")
    figures: dict[str, float] = {"runs": len(found), "promoted_runs": promoted}
    figures |= {"lower": float(exact.low), "upper": float(exact.high)}
    for dimension, outcome in ((d, x["outcome"]) for run in found for d, x in run.items()):
        figures[f"{outcome}_{dimension}"] = figures.get(f"{outcome}_{dimension}", 0) + 1
    for dimension in found[0]:
        rates = [run["win_rates"][dimension] for run in runs if dimension in run["win_rates"]]
        won = [run["win_rates"][dimension] for run in runs if dimension in run["again"]]
        again = [run["again"][dimension] for run in runs if dimension in run["again"]]
        told = dict(zip((key for _, key in shown(dimension)), (rates, rates, won, again), strict=True))
        for key, values in told.items():
            if values:
                how = statistics.pstdev if key.startswith("win_rate_sd") else statistics.fmean
                figures[key] = how(values)
    return figures


def make_toy(folder: Path) -> None:
    """A project whose ARMs learn to write one letter more often; the champion has seed 0."""
    sys.path.insert(0, str(ROOT / "tests"))  # the toys are there
    from toy_pipeline import SCORER, make_base, toy_params, toy_rows

    make_base(folder / "base")
    params: dict[str, Any] = toy_params(folder / "base")
    params["respond"]["prompts"] = 100
    params["respond"]["sampling"] |= {"max_new_tokens": 24}
    params["train"] |= {"epochs": 2}
    for name, good, bad in (("vowels", "a", "q"), ("digits", "7", "x")):
        rows = toy_rows(good, bad)
        copies = [
            {**row, "prompt": [{"role": "user", "content": f"{row['prompt'][0]['content']} in {k} words"}]}
            for k in range(5)
            for row in rows
        ]
        (folder / "data").mkdir(exist_ok=True)
        text = "".join(json.dumps(row) + "\n" for row in copies)
        (folder / "data" / f"{name}.jsonl").write_text(text, encoding="utf-8")
        params["dimensions"][name]["weight"] = 6.0
    (folder / "toy_scorers.py").write_text(SCORER, encoding="utf-8")
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(params, file)
    with_seed(folder, 0, draws=0)
    project = Project(folder)
    for dimension in project.params.dimensions:
        pairs(project, dimension)
        train(project, dimension, Provenance(None, None, project.params.dimensions[dimension].weight))
    prompts(project)


if __name__ == "__main__":
    main()

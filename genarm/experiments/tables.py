"""All that an experiment found, and the cells of its table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from genarm.experiments.budget import budget_notes
from genarm.experiments.claims import Claim
from genarm.experiments.front_results import Front, compared_fronts
from genarm.experiments.load import Experiment
from genarm.experiments.results import Row, claims, judges, key, rows
from genarm.judges import load_with_origin
from genarm.system.files import read_json
from genarm.types import Estimate


@dataclass(frozen=True, slots=True)
class Results:
    """All that an experiment found; `results.json` holds it."""

    name: str
    title: str
    base: str
    dimensions: list[str]
    judges: dict[str, str]  # column -> who judges, in which version
    marked: list[str]  # columns whose judge made the labels
    prompts: int
    seeds: list[int]
    over: list[str]
    rows: list[Row]
    claims: list[Claim]
    fronts: list[Front]
    reference_point: float
    notes: list[str]


def gathered(experiment: Experiment) -> Results:
    """All numbers of an experiment, with the verdicts at the rows that they are about."""
    config = experiment.config
    named = {key(*j): _judge(experiment, *j) for j in judges(experiment)}
    marked = [key(*j) for j in judges(experiment) if made_labels(experiment, *j)]
    found, (compared, about_fronts) = rows(experiment), compared_fronts(experiment)
    stated = [*claims(experiment), *about_fronts]
    told = {row.name: [f"{c.kind}: {c.verdict}" for c in stated if c.other == row.name] for row in found}
    return Results(
        name=experiment.place.name,
        title=config.title,
        base=experiment.base.id,
        dimensions=list(config.judges),
        judges=named,
        marked=marked,
        prompts=max(row.prompts for row in found),
        seeds=list(config.seeds),
        over=list(config.over),
        rows=[replace(row, verdicts=told[row.name]) for row in found],
        claims=stated,
        fronts=compared,
        reference_point=config.reference_point,
        notes=_notes(experiment, found, marked),
    )


def made_labels(experiment: Experiment, dimension: str, judge: str) -> bool:
    """Whether a judge made the labels of the pairs, so that it says nothing of what people prefer."""
    stats = experiment.place.pairs(dimension) / "stats.json"
    given = getattr(experiment.config.judges[dimension], judge)
    if not stats.is_file():
        return False
    labelled = read_json(stats, dict[str, object]).get("labelled_by") or []
    assert isinstance(labelled, list)
    return any(str(who).split(",")[0].strip() == given.name for who in labelled)


def _judge(experiment: Experiment, dimension: str, judge: str) -> str:
    return load_with_origin(
        getattr(experiment.config.judges[dimension], judge), experiment.place.root
    ).identity


def _notes(experiment: Experiment, found: Sequence[Row], marked: Sequence[str]) -> list[str]:
    notes = [
        f"{column} made the labels that every model was trained on: it shows whether a method does what "
        "it was told, not whether people would agree"
        for column in marked
    ]
    notes += [
        f"{row.name} answered {row.prompts} prompts only, and is compared on those"
        for row in found
        if row.prompts < max(r.prompts for r in found)
    ]
    notes += [
        f"no setting of {row.name} kept the limits of tuning; the one with the least KL was taken"
        for row in found
        if row.tuned and not row.tuned.within_limits
    ]
    notes += [
        f"{row.name}: {rate.unread} verdicts over {over} could not be read and are left out"
        for row in found
        for over, rate in row.over.items()
        if rate.unread
    ]
    return notes + budget_notes(experiment)


def columns(results: Results) -> list[str]:
    """The names of the columns."""
    rates = [c for o in results.over for c in ([f"win rate over {o}", f"LC over {o}"])]
    gains = [f"gain, {column}" for column in results.judges]
    return [
        "method", *rates, *gains, "KL", "distinct-2", "repeated 4-grams", "tokens",
        "s / 128 tokens", "tokens read a token", "predicted", "extra memory", "training", "verdict",
    ]  # fmt: skip


def cells(results: Results, row: Row) -> list[str]:
    """The cells of one row, as text."""
    texts = [row.name]
    for name in results.over:
        rate = row.over.get(name)
        first = next(iter(results.judges))
        texts += [interval(rate.by[first]), interval(rate.controlled)] if rate else ["", ""]
    texts += [interval(row.gains[column]) if row.name != "base" else "" for column in results.judges]
    texts += [number(row.kl, 3), number(row.distinct_2, 3), number(row.repetition, 4), number(row.tokens, 1)]
    speed = row.speed
    texts.append("; ".join(f"{s:.3g} (batch {b})" for b, s in speed.seconds.items()) if speed else "")
    texts.append(_parts(speed.passes) if speed else "")
    texts.append(_parts(speed.predicted) if speed else "")
    texts.append(f"{row.extra_memory / 2**20:.0f} MiB" if row.extra_memory is not None else "")
    trained = f"{row.training_seconds / 60:.1f} min, {row.training_pairs:.0f} pairs"
    texts += [trained if row.training_pairs or row.training_seconds else "none", ", ".join(row.verdicts)]
    return texts


def interval(found: Estimate | None) -> str:
    """`0.58 [0.53, 0.63]`; empty for what was not measured."""
    if found is None or math.isnan(found.value):
        return ""
    return f"{found.value:.2f} [{found.interval[0]:.2f}, {found.interval[1]:.2f}]"


def number(value: float, digits: int) -> str:
    """A number, empty for NaN."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _parts(passes: object) -> str:
    assert isinstance(passes, dict)
    return ", ".join(f"{part} {read:.3g}" for part, read in passes.items())

"""All that an experiment found, and the cells of its table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from genarm.config import JudgeConfig
from genarm.experiments.best_of import distance
from genarm.experiments.budget import budget_notes
from genarm.experiments.claims import Claim
from genarm.experiments.constraint_results import KEEPS, Constraint, as_claims, constraints
from genarm.experiments.distance import distance_notes, tuned_to
from genarm.experiments.enough import shortfalls
from genarm.experiments.front_results import Front, compared_fronts, points_beyond, unequal_points
from genarm.experiments.labels import made_labels
from genarm.experiments.load import Experiment
from genarm.experiments.measured import Measured
from genarm.experiments.model_results import Model, model_notes, models
from genarm.experiments.results import Row, claims, judges, key, rows
from genarm.judges.apart import shared
from genarm.system.files import read_rows
from genarm.types import Estimate, Prompt


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
    models: list[Model] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    kl: float | None = None  # at which rows are compared, in nats a token


def gathered(experiment: Experiment) -> Results:
    """All numbers of an experiment, with the verdicts at the rows that they are about."""
    config = experiment.config
    identities = who_judged(experiment)
    named = {column: "; then ".join(who) for column, who in identities.items()}
    marked = [key(*j) for j in judges(experiment) if made_labels(experiment, *j)]
    trained, (compared, about_fronts) = models(experiment), compared_fronts(experiment)
    found, limited = rows(experiment, trained), constraints(experiment)
    made = (*claims(experiment), *about_fronts, *as_claims(limited))
    stated = [_smoke(experiment, claim, trained) for claim in made]
    told = {row.name: [verdict(c) for c in stated if _about(c) == row.name] for row in found}
    of_fronts = filter(None, (unequal_points(compared), points_beyond(compared)))
    return Results(
        name=experiment.place.name,
        title=config.title,
        base=experiment.base_name,
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
        notes=[
            *_notes(experiment, found, marked),
            *_of_versions(identities),
            *model_notes(trained),
            *of_fronts,
        ],
        models=list(trained.values()),
        constraints=limited,
        kl=config.tuning.kl,
    )


def _about(claim: Claim) -> str:
    """The row whose line of the table has the verdict: the other one, of a constraint its own."""
    return claim.subject if claim.kind == KEEPS else claim.other


def verdict(claim: Claim) -> str:
    """`beats: inconclusive, 783 prompts needed`."""
    more = f", {claim.needed} prompts needed" if claim.needed else ""
    return f"{claim.kind}: {claim.verdict}{more}"


def _smoke(experiment: Experiment, claim: Claim, trained: Mapping[str, Model]) -> Claim:
    """A claim about rows that are made of a model which is too weak says so."""
    rows = [row for row in (claim.subject, claim.other) if row in experiment.config.methods]
    made_of = [m for row in rows for m in experiment.all_models(row)]
    weak = [m for m in dict.fromkeys(made_of) if m in trained and trained[m].smoke]
    return replace(claim, why=f"{claim.why}; a smoke test, for {', '.join(weak)}") if weak else claim


def chosen_by_judge(experiment: Experiment) -> list[tuple[str, str]]:
    """Rows that choose the best response by a judge of the table, with the column of that judge."""
    found = []
    for row in experiment.config.methods:
        given = experiment.shown_settings(row).get("judge")
        for dimension, judge in judges(experiment) if given else []:
            rates = getattr(experiment.config.judges[dimension], judge)
            if shared(JudgeConfig.model_validate(given).on(dimension), rates, experiment.place.root):
                found.append((row, key(dimension, judge)))
    return found


def who_judged(experiment: Experiment) -> dict[str, list[str]]:
    """Who judged each column, as the verdicts say it; several where versions changed from row to row."""
    found: dict[str, list[str]] = {key(*j): [] for j in judges(experiment)}
    for row in experiment.config.methods:
        for said in Measured(experiment, row).judged:
            column = found.get(key(said.dimension, said.judge))
            if column is not None and said.identity not in column:
                column.append(said.identity)
    return found


def _notes(experiment: Experiment, found: Sequence[Row], marked: Sequence[str]) -> list[str]:
    notes = [
        f"{column} made the labels that every model was trained on: it shows whether a method does what "
        "it was told, not whether people would agree"
        for column in marked
    ]
    notes += shortfalls(
        experiment,
        max(row.prompts for row in found),
        len(read_rows(experiment.place.validation, Prompt)),
    )
    notes += [
        f"{row} chooses its responses by {column}, so that what {column} says of it is no second opinion"
        for row, column in chosen_by_judge(experiment)
    ]
    fewer: dict[int, list[str]] = {}
    for row in found:
        if 0 < row.prompts < max(r.prompts for r in found):
            fewer.setdefault(row.prompts, []).append(row.name)
    notes += [
        f"{prompts} prompts only were answered by {', '.join(names)}, compared on those"
        for prompts, names in fewer.items()
    ]
    notes += [
        f"no setting of {row.name} kept the limits of tuning; the one with the least KL was taken"
        for row in found
        if row.tuned and not row.tuned.within_limits and not row.tuned.refused
    ]
    notes += [
        f"{row.name} answered nothing, since nothing that was tried meets its constraint"
        for row in found
        if row.tuned and row.tuned.refused
    ]
    notes += [
        f"{row.name}: {rate.unread} verdicts over {over} could not be read and are left out"
        for row in found
        for over, rate in row.over.items()
        if rate.unread
    ]
    return notes + distance_notes(experiment, found) + budget_notes(experiment)


def _of_versions(identities: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        f"{column}: {len(who)} versions judged, some rows by one and some by another"
        for column, who in identities.items()
        if len(who) > 1
    ]


WITH_PROMPTS = " (with prompts)"
MADE_LABELS = "*"
MARKED = (
    f"Columns with {MADE_LABELS} are by a judge that made the labels: they show whether a method does what "
    "it was told, not whether people would agree."
)


def signed(results: Results, judge: str, column: str) -> str:
    """The name of a column, with a sign where its judge made the labels."""
    return f"{column}{MADE_LABELS}" if judge in results.marked else column


def columns(results: Results) -> list[str]:
    """The names of the columns; those of judges that made the labels have a sign."""
    first = next(iter(results.judges))
    rates = [
        signed(results, first, f"{what} over {over}")
        for over in results.over
        for what in ("win rate", "adjusted p", "LC")
    ]
    gains = [signed(results, column, f"gain, {column}") for column in results.judges]
    return [
        "method", *rates, *gains, "KL", "KL in tuning", "perplexity", "distinct-2", "repeated 4-grams",
        "tokens", "s / 128 tokens", "tokens read a token", "predicted", "extra memory", "training", "verdict",
    ]  # fmt: skip


def cells(results: Results, row: Row) -> list[str]:
    """The cells of one row, as text."""
    texts = [row.name]
    first = next(iter(results.judges))
    for name in results.over:
        rate = row.over.get(name)
        texts += (
            [interval(rate.by[first]), f"{rate.p_adjusted:.2g}", interval(rate.controlled)]
            if rate
            else [""] * 3
        )
    texts += [interval(row.gains.get(column)) if row.name != "base" else "" for column in results.judges]
    texts += [distance(row.kl, row.kl_bound), tuned_to(row, results.kl)]
    texts += [number(row.perplexity, 2), number(row.distinct_2, 3)]
    texts += [number(row.repetition, 4), number(row.tokens, 1)]
    speed = row.speed
    texts.append("; ".join(f"{s:.3g} (batch {b})" for b, s in speed.seconds.items()) if speed else "")
    texts += [_counted(row), _parts(row.predicted)]
    texts.append(f"{row.extra_memory / 2**20:.0f} MiB" if row.extra_memory is not None else "")
    texts += [_training(row), "; ".join(row.verdicts)]
    return texts


def _training(row: Row) -> str:
    """`12.3 min, 330 pairs, 960 responses`; what there was none of is left out."""
    if not row.training_seconds:
        return "none"
    amounts = [(row.training_pairs, "pairs"), (row.training_responses, "responses")]
    return ", ".join(
        [f"{row.training_seconds / 60:.1f} min", *(f"{n:.0f} {what}" for n, what in amounts if n)]
    )


MODEL_COLUMNS = (
    "model", "trainer", "seeds", "accuracy on validation pairs", "longer", "perplexity", "base's",
    "minutes", "learned from",
)  # fmt: skip
LEARNED_FROM = ("pairs", "beginnings", "responses", "texts")


def model_cells(model: Model) -> list[str]:
    """The cells of one model, as text."""
    accuracy, learned = model.accuracy, [(model.took(what), what) for what in LEARNED_FROM]
    return [
        model.name,
        model.trainer,
        str(model.seeds),
        f"{interval(accuracy)} n={accuracy.n}" if accuracy else "",
        number(math.nan if model.longer is None else model.longer, 2),
        number(math.nan if model.perplexity is None else model.perplexity, 2),
        number(math.nan if model.base_perplexity is None else model.base_perplexity, 2),
        number(model.took("seconds") / 60, 1),
        ", ".join(f"{n:.0f} {what}" for n, what in learned if n),
    ]


def interval(found: Estimate | None) -> str:
    """`0.58 [0.53, 0.63]`; empty for what was not measured."""
    if found is None or math.isnan(found.value):
        return ""
    return f"{found.value:.2f} [{found.interval[0]:.2f}, {found.interval[1]:.2f}]"


def number(value: float, digits: int) -> str:
    """A number, empty for NaN."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _counted(row: Row) -> str:
    """Tokens that each part read for one: where it was timed those of the responses alone."""
    if row.speed and row.speed.passes:
        return _parts(row.speed.passes)
    return f"{_parts(row.passes)}{WITH_PROMPTS}" if row.passes else ""


def _parts(passes: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {read:.3g}" for part, read in passes.items())

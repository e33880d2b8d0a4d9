"""Whether the constraints hold on the evaluation prompts, and what they cost on the other dimensions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from genarm.experiments.claims import Claim, Outcome
from genarm.experiments.config import GOLD, HELD_OUT
from genarm.experiments.least import named
from genarm.experiments.load import Experiment
from genarm.experiments.measured import Measured, common
from genarm.experiments.resampling import Array, mean, rate, sampled
from genarm.experiments.results import compare, judges, key
from genarm.experiments.row_config import ConstraintConfig
from genarm.types import Estimate

KEEPS = "keeps"  # the kind of the claim


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint: the value that was taken, and what it reaches on evaluation prompts.

    `reached` has the interval of both one-sided bounds. `costs` are by dimension and judge the scores of the
    row less those of `against`, in standard deviations of the base. Nothing is measured where it is refused.
    """

    row: str
    dimension: str
    measure: str
    at_least: float
    varied: str
    value: float | None
    confidence: float
    verdict: Outcome
    why: str
    bound: float | None = None  # on validation prompts, by which the value was taken
    reached: Estimate | None = None
    held_out: Estimate | None = None  # the win rate by the held-out judge
    against: str = "base"
    costs: Mapping[str, Estimate] = field(default_factory=dict)


def constraints(experiment: Experiment) -> list[Constraint]:
    """The constraints of all rows that have one, in the order of the file."""
    given = {row: own.constrain for row, own in experiment.config.methods.items() if own.constrain}
    if not given:
        return []
    measured = {row: Measured(experiment, row) for row in experiment.config.methods}
    return [_constraint(experiment, measured, row, asked) for row, asked in given.items()]


def as_claims(found: Sequence[Constraint]) -> list[Claim]:
    """Each constraint as a claim that a row keeps it."""
    return [Claim(KEEPS, c.row, f"{c.dimension} >= {c.at_least:g}", c.verdict, c.why) for c in found]


def _constraint(
    experiment: Experiment, measured: Mapping[str, Measured], row: str, given: ConstraintConfig
) -> Constraint:
    own = measured[row]
    chosen = own.chosen
    assert chosen is not None, "a row with a constraint is tuned"
    unmet = Constraint(
        row=row,
        dimension=given.dimension,
        measure=given.measure,
        at_least=given.at_least,
        varied=given.varied,
        value=chosen.value,
        confidence=given.confidence,
        verdict="not met",
        why=chosen.refused or "",
        against=given.against,
    )
    if chosen.refused is not None:
        return unmet
    reached = _reached(measured, row, given, GOLD)
    bound = next(tried.bound for tried in chosen.curve if tried.value == chosen.value)
    others = [j for j in judges(experiment) if j[0] != given.dimension]
    costs = {key(*j): cost(measured, row, given.against, *j) for j in others}
    held_out = None
    if given.measure == "win_rate" and experiment.config.judges[given.dimension].held_out:
        held_out = _reached(measured, row, given, HELD_OUT)
    return replace(
        unmet,
        verdict=holds(reached, given.at_least),
        why=_why(given, chosen.value, len(chosen.curve), bound, reached, held_out, costs),
        bound=bound,
        reached=reached,
        held_out=held_out,
        costs=costs,
    )


def holds(reached: Estimate, at_least: float) -> Outcome:
    """`confirms` where the lower bound is at least the threshold, `refutes` where the upper is below it."""
    low, high = reached.interval
    return "confirms" if low >= at_least else "refutes" if high < at_least else "inconclusive"


def cost(measured: Mapping[str, Measured], row: str, against: str, dimension: str, judge: str) -> Estimate:
    """Scores of a row less those of another on the same prompts, in standard deviations of the base's.

    Not a number for a judge that only compares.
    """
    rows = [measured[row], measured[against], measured["base"]]
    own, theirs, base = common([(m.prompts, m.scores(dimension, judge)) for m in rows])
    return paired_difference(own, theirs, base)


def paired_difference(own: Array, theirs: Array, base: Array) -> Estimate:
    """mean(own) - mean(theirs) of scores [s, p] over the deviation of the base's, with its 95% interval."""
    scored = not any(np.isnan(scores).all() for scores in (own, theirs, base))
    spread = float(np.nanstd(base)) if scored else 0.0
    if not spread:
        return mean(np.full_like(own, np.nan))
    found = sampled({"own": own, "theirs": theirs}, lambda means: (means["own"] - means["theirs"]) / spread)
    return found.estimate(int((~np.isnan(own)).any(axis=0).sum()))


def _reached(measured: Mapping[str, Measured], row: str, given: ConstraintConfig, judge: str) -> Estimate:
    """The measure on evaluation prompts, between both one-sided bounds."""
    central = 2 * given.confidence - 1
    if given.measure == "score":
        return mean(measured[row].scores(given.dimension, judge), central)
    return rate(compare(measured, row, "base", given.dimension, judge), central)


def _why(
    given: ConstraintConfig,
    value: float | None,
    tried: int,
    bound: float | None,
    reached: Estimate,
    held_out: Estimate | None,
    costs: Mapping[str, Estimate],
) -> str:
    low, high = reached.interval
    told = [
        f"{given.varied} {value:g}, the least of {tried} that is shown to meet it on validation prompts "
        f"(lower bound {bound:.3g}); on evaluation prompts {named(given)} {reached.value:.3g}, "
        f"{given.confidence:.0%} bounds {low:.3g} and {high:.3g}, n={reached.n}"
    ]
    if held_out:
        told.append(f"by the held-out judge {held_out.value:.3g}")
    told += [
        f"{column} {c.value:+.2f} [{c.interval[0]:+.2f}, {c.interval[1]:+.2f}] against {given.against}"
        for column, c in costs.items()
        if not np.isnan(c.value)
    ]
    return "; ".join(told)

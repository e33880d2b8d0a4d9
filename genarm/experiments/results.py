"""All numbers of an experiment: a row for each method, fronts, strength curves, and the claims."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genarm.evaluation.rule import holm
from genarm.evaluation.text_health import text_health
from genarm.experiments import claims as claimed
from genarm.experiments.best_of import kl_bound
from genarm.experiments.claims import Claim
from genarm.experiments.config import GOLD, HELD_OUT
from genarm.experiments.controlled import controlled
from genarm.experiments.load import Experiment
from genarm.experiments.measured import Measured, common, distinct_2
from genarm.experiments.model_results import Model
from genarm.experiments.open_claims import answered
from genarm.experiments.passes import predicted
from genarm.experiments.resampling import Array, mean, p_value, rate
from genarm.experiments.speed import Speed
from genarm.experiments.tuned import Chosen
from genarm.types import Estimate

NO_OUTCOME = "no verdict on both rows: a judge that only compares needs one of them in `over`"
KEY = " by "  # `positive by gold`: a dimension and the judge of it


@dataclass(frozen=True, slots=True)
class Rate:
    """Win rates over another row: by dimension and judge, if both were equally long, and p of the first."""

    by: Mapping[str, Estimate]
    controlled: Estimate | None
    p_value: float
    p_adjusted: float
    unread: int


@dataclass(frozen=True, slots=True)
class Row:
    """All that was measured of one row; of a front, at its middle point."""

    name: str
    method: str
    settings: Mapping[str, Any]
    seeds: int
    prompts: int
    over: Mapping[str, Rate]
    rewards: Mapping[str, Estimate]
    gains: Mapping[str, Estimate]  # above the base on the same prompts, in standard deviations of the base
    kl: float
    perplexity: float
    distinct_2: float
    repetition: float
    tokens: float
    speed: Speed | None
    extra_memory: int | None  # above the base's at the largest batch of its own
    passes: Mapping[str, float]  # tokens that each part read, prompts included, for one that was drawn
    training_seconds: float
    training_pairs: float
    tuned: Chosen | None
    verdicts: Sequence[str] = field(default_factory=list)
    training_responses: float = 0.0  # that were drawn to be rewarded
    predicted: Mapping[str, float] = field(default_factory=dict)  # the same by definition, without prompts
    kl_bound: float | None = None  # nats a response that choosing the best of n adds to `kl` at most


def rows(experiment: Experiment, models: Mapping[str, Model]) -> list[Row]:
    """Every row, in the order of the file; of one that answered nothing only its training and tuning."""
    every = {row: Measured(experiment, row) for row in experiment.config.methods}
    measured = {row: own for row, own in every.items() if not own.refused}
    adjusted = _adjusted(experiment, measured)
    return [
        _row(experiment, measured, row, adjusted, models)
        if row in measured
        else _unanswered(experiment, own, models)
        for row, own in every.items()
    ]


def judges(experiment: Experiment) -> list[tuple[str, str]]:
    """Dimension and judge of every column of verdicts, that of the win rates first."""
    found = []
    for dimension, given in experiment.config.judges.items():
        found += [(dimension, GOLD)] + ([(dimension, HELD_OUT)] if given.held_out else [])
    return found


def key(dimension: str, judge: str) -> str:
    """What a judge of a dimension is called."""
    return f"{dimension}{KEY}{judge.replace('_', ' ')}"


def claims(experiment: Experiment) -> list[Claim]:
    """The verdicts on what the experiment claims; none where it claims nothing."""
    given, config = experiment.config.claims, experiment.config
    if given is None:
        return []
    measured = {row: Measured(experiment, row) for row in config.methods}
    dimension, judge = judges(experiment)[0]
    subject = given.subject
    given, found = answered(given, [row for row, own in measured.items() if own.refused])

    def against(other: str) -> Array:
        return compare(measured, subject, other, dimension, judge)

    def unread(kind: str, other: str) -> Claim:
        return claimed.without_numbers(kind, subject, other, f"{key(dimension, judge)} gives {NO_OUTCOME}")

    if given.beats:
        outcomes = {other: against(other) for other in given.beats}
        read = {other: array for other, array in outcomes.items() if not np.isnan(array).all()}
        found += claimed.beats(subject, read, alpha=config.alpha, least=given.least) if read else []
        found += [unread("beats", other) for other in outcomes if other not in read]
    if given.equivalent:
        to, outcome = given.equivalent.to, against(given.equivalent.to)
        if np.isnan(outcome).all():
            found.append(unread("equivalent", to))
        else:
            found.append(claimed.equivalent(subject, to, outcome, given.equivalent.margin, config.alpha))
    for other, factor in given.faster.items():
        found.append(_faster(subject, measured[subject].speed, other, measured[other].speed, factor))
    if given.recovers:
        gap = given.recovers
        named = [row for row in (subject, gap.floor, gap.ceiling, gap.control) if row]
        cut = common([(measured[r].prompts, _over_base(measured, r, dimension, judge)) for r in named])
        rates = dict(zip(named, cut, strict=True))
        if any(np.isnan(rate).all() for rate in rates.values()):
            found.append(unread("recovers", gap.ceiling))
        else:
            found.append(claimed.recovers(subject, rates, gap.floor, gap.ceiling, gap.control))
    return found


def _faster(subject: str, own: Speed | None, other: str, theirs: Speed | None, factor: float) -> Claim:
    """The claim at the smallest batch that both were timed at."""
    batches = set(own.seconds) & set(theirs.seconds) if own and theirs else set()
    if own is None or theirs is None or not batches:
        why = "the two were timed at no batch that is the same"
        return Claim("faster", subject, other, "inconclusive", why)
    batch = min(batches)
    return claimed.faster(subject, other, own.of_base[batch], theirs.of_base[batch], factor)


def compare(measured: Mapping[str, Measured], row: str, other: str, dimension: str, judge: str) -> Array:
    """Outcomes of one row over any other, on the prompts of both [s, p].

    Where the judge compared the two, its verdicts; else by its scores, seed by seed.
    """
    own, theirs = measured[row], measured[other]
    if other in own.experiment.config.over:
        return own.outcomes(other, dimension, judge)
    if row in theirs.experiment.config.over:
        return 1 - theirs.outcomes(row, dimension, judge)
    mine, his = common([(m.prompts, m.scores(dimension, judge)) for m in (own, theirs)])
    paired = np.stack([his[i if len(his) > i else 0] for i in range(len(mine))])
    if len(his) > len(mine):
        mine, paired = np.repeat(mine[:1], len(his), axis=0), his
    difference = mine - paired
    return np.where(np.isnan(difference), np.nan, (1 + np.sign(difference)) / 2)


def _over_base(measured: Mapping[str, Measured], row: str, dimension: str, judge: str) -> Array:
    """Outcomes over the base; of the base itself 1/2."""
    if row == "base":
        return np.full((1, len(measured[row].prompts)), 0.5)
    return compare(measured, row, "base", dimension, judge)


def _adjusted(experiment: Experiment, measured: Mapping[str, Measured]) -> dict[tuple[str, str], float]:
    """Holm's p by (row, over), over all rows that are compared with the same one."""
    dimension, judge = judges(experiment)[0]
    found: dict[tuple[str, str], float] = {}
    for over in experiment.config.over:
        others = [row for row in measured if row != over]
        p = holm([p_value(measured[row].outcomes(over, dimension, judge)) for row in others])
        found |= {(row, over): value for row, value in zip(others, p, strict=True)}
    return found


def _row(
    experiment: Experiment,
    measured: Mapping[str, Measured],
    name: str,
    adjusted: Mapping[tuple[str, str], float],
    models: Mapping[str, Model],
) -> Row:
    own, base, config = measured[name], measured["base"], experiment.config
    responses = own.responses()
    health = text_health("base" if name == "base" else "challenger", responses)
    settings = experiment.shown_settings(name, own.chosen.settings if own.chosen else None)
    seconds, pairs, drawn = _training(experiment, name, models)
    memory = None
    if own.speed and base.speed and (both := own.speed.memory.keys() & base.speed.memory.keys()):
        memory = own.speed.memory[max(both)] - base.speed.memory[max(both)]
    return Row(
        name=name,
        method=config.methods[name].method,
        settings=settings,
        seeds=len(own.seeds),
        prompts=len(own.prompts),
        over={o: _rate(experiment, measured, name, o, adjusted[name, o]) for o in config.over if o != name},
        rewards={key(*j): mean(own.scores(*j)) for j in judges(experiment)},
        gains={key(*j): _gain(own, base, *j) for j in judges(experiment)},
        kl=health.kl,
        perplexity=health.perplexity,
        distinct_2=distinct_2(own.responses()[: len(own.prompts)]),
        repetition=health.repetition,
        tokens=health.mean_tokens,
        speed=own.speed,
        extra_memory=memory,
        passes={part: read / own.cost.tokens for part, read in own.cost.passes.items()},
        training_seconds=seconds,
        training_pairs=pairs,
        training_responses=drawn,
        tuned=own.chosen,
        predicted=predicted(experiment, name, settings),
        kl_bound=kl_bound(config.methods[name].method, settings),
    )


def _unanswered(experiment: Experiment, own: Measured, models: Mapping[str, Model]) -> Row:
    """A row whose constraint nothing meets: what it was made of, and nothing that was measured."""
    nothing = math.nan
    seconds, pairs, responses = _training(experiment, own.row, models)
    settings = experiment.shown_settings(own.row)
    return Row(
        name=own.row,
        method=experiment.config.methods[own.row].method,
        settings=settings,
        seeds=len(own.seeds),
        prompts=0,
        over={},
        rewards={},
        gains={},
        kl=nothing,
        perplexity=nothing,
        distinct_2=nothing,
        repetition=nothing,
        tokens=nothing,
        speed=None,
        extra_memory=None,
        passes={},
        training_seconds=seconds,
        training_pairs=pairs,
        training_responses=responses,
        tuned=own.chosen,
        predicted=predicted(experiment, own.row, settings),
    )


def _training(experiment: Experiment, row: str, models: Mapping[str, Model]) -> tuple[float, float, float]:
    """Seconds, pairs and responses of the trainings of all models of a row."""
    trained = [models[model] for model in experiment.all_models(row) if model in models]
    seconds, pairs, responses = (
        sum(model.took(what) for model in trained) for what in ("seconds", "pairs", "responses")
    )
    return seconds, pairs, responses


def _rate(
    experiment: Experiment, measured: Mapping[str, Measured], row: str, over: str, p_adjusted: float
) -> Rate:
    own, dimension_and_judge = measured[row], judges(experiment)
    outcomes = own.outcomes(over, *dimension_and_judge[0])
    mine, theirs = common([(m.prompts, m.lengths()) for m in (own, measured[over])])
    shared = outcomes[..., [i in set(measured[over].prompts) for i in own.prompts]]
    return Rate(
        by={key(*j): rate(own.outcomes(over, *j)) for j in dimension_and_judge},
        controlled=controlled(shared, mine - theirs),
        p_value=p_value(outcomes),
        p_adjusted=p_adjusted,
        unread=int(np.isnan(shared).sum()),
    )


def _gain(own: Measured, base: Measured, dimension: str, judge: str) -> Estimate:
    """Scores above the base's on the same prompts, in standard deviations of the base's scores."""
    mine, theirs = common([(m.prompts, m.scores(dimension, judge)) for m in (own, base)])
    spread = float(np.nanstd(theirs)) if not np.isnan(theirs).all() else math.nan
    if not spread or math.isnan(spread):
        return mean(np.full_like(mine, np.nan))
    return mean((mine - theirs[:1]) / spread)

"""Scorecards to the numbers that MLflow keeps of a decision, each under the name it has everywhere."""

from collections.abc import Sequence

from genarm.evaluation.rule import holm, p_value
from genarm.evaluation.scorecard import comparison
from genarm.system import metric_names as names
from genarm.types import Scorecard


def measures(scorecards: Sequence[Scorecard]) -> dict[str, dict[str, float]]:
    """Dimension -> name -> value: the challenger against its rival, and how its text reads.

    Win rate, bounds, n and p on its own dimension; the same on every other one, with that dimension's name
    after them, and by the held-out judge, with `held_out` after them. The scorecards are those decided
    together, since p is adjusted over them as the rule does it. Empty for a challenger that is the champion:
    nothing was measured of it.
    """
    own = {card.dimension: comparison(card, card.dimension, card.rival) for card in scorecards}
    tried = {dimension: p_value(found) for dimension, found in own.items() if found}
    adjusted = dict(zip(tried, holm([*tried.values()]), strict=True))
    return {card.dimension: _of(card, adjusted.get(card.dimension)) for card in scorecards}


def _of(card: Scorecard, adjusted: float | None) -> dict[str, float]:
    measured: dict[str, float] = {}
    for compared in card.comparisons:
        if (compared.left, compared.right) != ("challenger", card.rival):
            continue
        rate = compared.win_rate
        numbers = {
            names.WIN_RATE: rate.value,
            names.WIN_RATE_LOWER: rate.interval[0],
            names.WIN_RATE_UPPER: rate.interval[1],
            names.WIN_RATE_N: float(rate.n),
            names.P_VALUE: p_value(compared),
        }
        if compared.held_out:
            measured |= {names.held_out_name(name): v for name, v in numbers.items()}
        elif compared.dimension == card.dimension:
            measured |= numbers | ({names.LOOKS: float(compared.looked.looks)} if compared.looked else {})
        else:
            measured |= {names.guard_name(name, compared.dimension): v for name, v in numbers.items()}
    if adjusted is not None:
        measured[names.P_ADJUSTED] = adjusted
    for health in card.health:
        if health.side == "challenger":
            measured |= {
                names.PERPLEXITY: health.perplexity,
                names.REPETITION: health.repetition,
                names.KL: health.kl,
                names.MEAN_TOKENS: health.mean_tokens,
            }
    return measured

"""Limits of the text that count as exceeded only where the prompts show it.

Tuning has few prompts. One answer of twenty that repeats itself without end moves the mean of repetition past
any sensible limit, and says little about a weight. So a limit is exceeded where the measured value is beyond
it, and

shown  so is the one-sided 95% bound of the distance to the limit, by a bootstrap over prompts; or
clear  the value is more than twice the limit (of answers that end, less than half of the least), and beyond
       the limit whichever prompt is left out.

Both sides answered the same prompts, and a limit is made of the base's own value: so a draw of prompts takes
the answers of both sides. The bootstrap is by percentiles. A single answer excludes nothing: 36% of the draws
of twenty prompts are without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from genarm.errors import DataError
from genarm.evaluation.condition import NEAR
from genarm.evaluation.text_health import REPETITION_FLOOR, health_limits, repetition
from genarm.types import Response, TextHealth

CLEAR = 2.0
CONFIDENCE = 0.95
RESAMPLES = 4000
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Text:
    """How the answers of one side read, by prompt: arrays [p]."""

    logprob: Array  # under the base, summed over tokens
    tokens: Array
    repetition: Array
    finished: Array  # 1 for an answer that ended by itself


def text_faults(
    base: Sequence[Response], guided: Sequence[Response], ratio: float, min_finished: float = 0.0
) -> list[str]:
    """The limits that the guided answers exceed, in sentences: perplexity, repetition, answers that end.

    Perplexity and repetition may be `ratio` times the base's (see `text_health.health_limits`); the share of
    answers that end by themselves must be `min_finished` times the base's. Raises DataError where the two
    sides answered other prompts, or with no token.
    """
    own, theirs = ({r.prompt_id: r for r in rows} for rows in (guided, base))
    if own.keys() != theirs.keys():
        raise DataError(
            f"{len(own)} guided answers and {len(theirs)} of the base are not to the same prompts",
            hint="answer both anew",
        )
    order = sorted(own)
    return faults(text([theirs[i] for i in order]), text([own[i] for i in order]), ratio, min_finished)


def text(responses: Sequence[Response]) -> Text:
    """The answers as numbers. Raises DataError where they have no token."""
    tokens = np.array([r.tokens for r in responses], dtype=float)
    if not tokens.sum():
        raise DataError("there is no token to measure", hint="look at the responses file")
    return Text(
        np.array([r.base_logprob for r in responses], dtype=float),
        tokens,
        np.array([repetition(r.text) for r in responses]),
        np.array([float(r.finish_reason == "stop") for r in responses]),
    )


def faults(base: Text, guided: Text, ratio: float, min_finished: float = 0.0) -> list[str]:
    """The same of two sides as numbers, with the prompts in the same order."""
    n = len(base.tokens)
    # The first row is all prompts, the next ones leave out one each, the others are draws.
    counts = np.concatenate([np.ones((1, n)), 1 - np.eye(n), _draws(n)])
    own, theirs = _totals(guided, counts), _totals(base, counts)
    value, based = ({name: float(found[0]) for name, found in side.items()} for side in (own, theirs))
    health = TextHealth("base", 0.0, based["repetition"], based["perplexity"], 0.0)
    found = []
    for limit in health_limits(health, ratio):
        kept, told = limit.check(value[limit.name])
        distance = own[limit.name] - _most(limit.name, theirs[limit.name], ratio)
        if not kept and (why := _counts(distance, not value[limit.name] <= CLEAR * limit.most, n)):
            found.append(f"{told}{why}")
    least = min_finished * based["finished"]
    if value["finished"] < least - NEAR:
        distance = min_finished * theirs["finished"] - own["finished"]
        if why := _counts(distance, value["finished"] < least / CLEAR, n):
            told = f"finished {value['finished']:.3g} < {least:.3g}, {min_finished:g} times the base's"
            found.append(f"{told}{why}")
    return found


def _most(name: str, base: Array, ratio: float) -> Array:
    """The limit of each draw, which `health_limits` makes of the whole: that of repetition has a floor."""
    floor = REPETITION_FLOOR if name == "repetition" else 0.0
    return base + np.maximum(base * (ratio - 1), floor)


def _counts(distance: Array, beyond_twice: bool, prompts: int) -> str:
    """Why a value beyond a limit counts; empty where it does not. `distance` is positive beyond it.

    Its first entry is of all prompts, then one for each prompt that is left out, then those of the draws.
    """
    left_out, drawn = distance[1 : prompts + 1], distance[prompts + 1 :]
    if beyond_twice and not (left_out <= 0).any():
        return f", by more than {CLEAR:g} times"
    if np.quantile(drawn, 1 - CONFIDENCE) > 0:
        return f", shown by {prompts} prompts"
    return ""


def _totals(side: Text, counts: Array) -> dict[str, Array]:
    """Perplexity, repetition and share that ended, over the prompts of each draw: counts [k, p] -> [k]."""
    tokens = np.maximum(counts @ side.tokens, 1.0)  # a draw may hold nothing but empty answers
    prompts = counts.sum(1)
    return {
        "perplexity": np.exp(-(counts @ side.logprob) / tokens),
        "repetition": counts @ side.repetition / prompts,
        "finished": counts @ side.finished / prompts,
    }


@lru_cache(maxsize=8)
def _draws(prompts: int) -> Array:
    """How often each prompt is drawn [k, p], the same for all weights."""
    chance = np.full(prompts, 1 / prompts)
    return np.random.default_rng(0).multinomial(prompts, chance, size=RESAMPLES).astype(float)

"""Verdicts and responses -> scorecard: win rates with interval and count, and how the text reads.

Only numbers and strings pass through here: no judge, no model, no file. The unit is the prompt. Several
verdicts on one prompt are averaged first, so that resampling prompts resamples whole clusters.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
from scipy import stats

from genarm.errors import DataError
from genarm.evaluation.length_control import length_controlled
from genarm.types import Champion, Comparison, Estimate, Health, Response, Scorecard, Side, Verdict

RESAMPLES = 4000
CONFIDENCE = 0.95
TIE = 1e-9  # a mean preference nearer to 0 is a tie: 0.1 + 0.2 - 0.3 is not 0 in floating point


def win_rate(verdicts: Sequence[Verdict]) -> Comparison:
    """Mean over prompts of (1 + preference) / 2: win 1, tie 1/2, loss 0, with its 95% interval.

    The interval is Wilson's where every outcome is 0 or 1, else a bootstrap over prompts with a fixed seed.
    wins + ties + losses = n; `unread` counts the prompts without a readable verdict, which are not in n.
    Nothing read gives 0.5 [0, 1] n=0. Raises DataError on verdicts of more than one comparison.
    """
    kinds = {(v.dimension, v.left, v.right) for v in verdicts}
    if len(kinds) != 1:
        raise DataError(
            f"a win rate is of one comparison, these verdicts are of {len(kinds)}: {sorted(kinds)}",
            hint="group the verdicts by dimension, left and right",
        )
    [(dimension, left, right)] = kinds
    preferences = _preferences(verdicts)
    wins = sum(p > TIE for p in preferences.values())
    losses = sum(p < -TIE for p in preferences.values())
    return Comparison(
        dimension=dimension,
        left=left,
        right=right,
        win_rate=_estimate([(1 + p) / 2 for p in preferences.values()]),
        wins=wins,
        ties=len(preferences) - wins - losses,
        losses=losses,
        unread=len({v.prompt_id for v in verdicts}) - len(preferences),
        p_value=sign_test(wins, losses),
    )


def sign_test(wins: int, losses: int) -> float:
    """P(at least `wins` heads in wins + losses tosses of a fair coin); 1 where nothing is discordant.

    Exact, one-sided, ties dropped. 9 wins and 1 loss give (10 + 1) / 1024.
    """
    if wins + losses == 0:
        return 1.0
    return float(stats.binomtest(wins, wins + losses, alternative="greater").pvalue)


def wilson(value: float, n: int, z: float) -> tuple[float, float]:
    """Wilson's score interval of a mean of outcomes in [0, 1], z standard errors to either side.

    (value + z^2/2n -+ z sqrt(value (1 - value) / n + z^2/4n^2)) / (1 + z^2/n). It takes the variance for
    m (1 - m), the largest that a mean of m allows, so ties and fractions make it wider than need be, never
    narrower. [0, 1] where n = 0. (Wilson 1927)
    """
    if n == 0:
        return 0.0, 1.0
    centre = value + z * z / (2 * n)
    half = z * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Rounding may put the end that should be 0 or 1 a hair inside.
    low = 0.0 if value == 0 else (centre - half) / scale
    return low, 1.0 if value == 1 else (centre + half) / scale


def repetition(text: str) -> float:
    """Share of word 4-grams that were seen before in the same text; 0 below four words.

    Words are split at white space and compared in lower case.
    """
    words = text.lower().split()
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def health(side: Side, responses: Sequence[Response]) -> Health:
    """Length, repetition, perplexity and KL of one side's responses.

    perplexity = exp(-sum base_logprob / sum tokens) over all responses, the others are means over responses.
    Raises DataError where there is no token to measure.
    """
    tokens = sum(r.tokens for r in responses)
    if tokens == 0:
        raise DataError(f"the {side} answered with no token at all", hint="look at its responses file")
    n = len(responses)
    return Health(
        side=side,
        mean_tokens=tokens / n,
        repetition=math.fsum(repetition(r.text) for r in responses) / n,
        perplexity=math.exp(-math.fsum(r.base_logprob for r in responses) / tokens),
        kl=math.fsum(r.kl for r in responses) / n,
    )


def score(
    dimension: str,
    challenger_sha256: str,
    champion: Champion | None,
    responses: Mapping[Side, Sequence[Response]],
    verdicts: Sequence[Verdict],
) -> Scorecard:
    """All that was measured of one challenger, its own dimension and its rival first.

    Raises DataError unless every side answered the base's prompts once each and every comparison judged them
    all: win rates over different prompts say nothing of one another.
    """
    expected = {r.prompt_id for r in responses["base"]}
    for side, answers in responses.items():
        counts = Counter(r.prompt_id for r in answers)
        _same_prompts(f"responses of the {side}", set(counts), expected)
        if len(counts) < len(answers):
            raise DataError(
                f"{dimension}: the {side} answered prompt {counts.most_common(1)[0][0]} more than once",
                hint="re-run the stage: genarm respond",
            )
    groups: dict[tuple[str, Side, Side], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if missing := {verdict.left, verdict.right} - set(responses):
            raise DataError(
                f"{dimension}: a verdict is about the {missing.pop()}, which did not answer", hint="dvc repro"
            )
        groups[verdict.dimension, verdict.left, verdict.right].append(verdict)
    tokens = {side: {r.prompt_id: r.tokens for r in answers} for side, answers in responses.items()}
    comparisons = []
    for (judged, left, right), group in groups.items():
        _same_prompts(
            f"verdicts on {judged}, {left} against {right},", {v.prompt_id for v in group}, expected
        )
        preferences = _preferences(group)
        longer = [tokens[left][i] - tokens[right][i] for i in preferences]
        outcomes = [(1 + p) / 2 for p in preferences.values()]
        comparisons.append(replace(win_rate(group), length_controlled=length_controlled(outcomes, longer)))
    order: dict[Side, int] = {"challenger": 0, "champion": 1, "base": 2}
    comparisons.sort(key=lambda c: (c.dimension != dimension, c.dimension, order[c.left], order[c.right]))
    return Scorecard(
        dimension=dimension,
        challenger_sha256=challenger_sha256,
        champion=champion,
        comparisons=comparisons,
        health=[
            health(side, responses[side]) for side in ("base", "champion", "challenger") if side in responses
        ],
    )


def _preferences(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Prompt id -> mean of the preferences that could be read; prompts in the order of their ids."""
    read: dict[str, list[float]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.preference is None:
            continue
        if not -1 <= verdict.preference <= 1:
            raise DataError(
                f"prompt {verdict.prompt_id}: a preference of {verdict.preference} is outside [-1, 1]",
                hint="a judge answers 1 for left, -1 for right, 0 for a tie, None where it could not be read",
            )
        read[verdict.prompt_id].append(verdict.preference)
    return {prompt: math.fsum(read[prompt]) / len(read[prompt]) for prompt in sorted(read)}


def _estimate(outcomes: Sequence[float]) -> Estimate:
    values = np.sort(np.asarray(outcomes, dtype=float))  # sorted, so that the order of files changes nothing
    n = len(values)
    value = float(values.mean()) if n else 0.5
    # Outcomes that are all the same would give a bootstrap interval of no width.
    if n == 0 or np.isin(values, (0, 1)).all() or np.ptp(values) == 0:
        z = float(stats.norm.isf((1 - CONFIDENCE) / 2))
        return Estimate(value, wilson(value, n, z), n)
    resampled = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = resampled.confidence_interval
    return Estimate(value, (float(low), float(high)), n)


def _same_prompts(what: str, found: set[str], expected: set[str]) -> None:
    if missing := sorted(expected - found):
        raise DataError(f"{what} miss {len(missing)} prompts, first {missing[0]}", hint="dvc repro")
    if strange := sorted(found - expected):
        raise DataError(f"{what} name prompts that were not asked, first {strange[0]}", hint="dvc repro")


def figures(card: Scorecard) -> dict[str, object]:
    """What one compares between experiments: win rates over the rival, and how the text reads."""
    compared = [c for c in card.comparisons if (c.left, c.right) == ("challenger", card.rival)]
    read = [asdict(h) for h in card.health if h.side == "challenger"]
    health = {name: h[name] for h in read for name in ("perplexity", "repetition", "kl")}
    return {"win_rate": {c.dimension: c.win_rate.value for c in compared}, **health}

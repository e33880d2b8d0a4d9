"""Whether an ARM learned anything: what its distance from its start can explain, and what it prefers now.

Guidance multiplies the base's probabilities by the ARM's to the power w. An ARM that equals the base makes
them base^(1 + w), which is the base sampled more sharply; what was learned is the rest. Let k be
KL(ARM || base) in nats a token. To leading order, guided text is w^2 k nats a token away from sharpened text,
so T tokens are T w^2 k nats away, and by Pinsker's inequality no win rate can differ by more than

    reach = w sqrt(k T / 2)

between the two, where each is drawn on its own. A win rate whose lower 95% bound is above one half by more
than that is not explained by what was learned: it is luck or sharpening. Under contrast an ARM that equals
its start leaves the base as it is, so the same reach is that over the base itself, and only luck is left.

The implicit reward, log p_arm - log p_start, says what training taught: its accuracy is how often the chosen
response has the larger one. It is above chance where its lower 95% bound (one-sided, Wilson) exceeds 0.5.
Where it is below chance on the pairs whose longer, or whose shorter, response was chosen, a part of what was
learned is a length, and the sentence says so.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from genarm.evaluation.condition import Z
from genarm.evaluation.win_rate import wilson
from genarm.report.learned import TRAINED, by_length
from genarm.report.numbers import people
from genarm.system import metric_names as names
from genarm.types import Comparison, Guidance, TextHealth

Finding = Literal["learned", "not shown", "hardly moved", "luck or sharpening", "luck", "not known"]

CHANCE = 0.5
HARDLY = 0.02  # a reach below it: no smaller gain counts by the rule's default either
# How training names its metrics of the last evaluation.
KL, IMPLICIT, PAIRS = (TRAINED + name for name in (names.KL_TO_BASE, names.IMPLICIT_ACCURACY, "pairs"))


@dataclass(frozen=True, slots=True)
class Learning:
    """The finding, the sentence that tells it, and the numbers behind it; None is not known."""

    finding: Finding
    sentence: str
    kl: float | None
    implicit_accuracy: float | None
    pairs: int | None  # of the validation split
    reach: float | None  # most that this KL can move a win rate by
    needed: float | None  # by which the win rate over the base is above 1/2, at its lower bound
    least_kl: float | None  # KL that would explain the win rate


def learning(
    metrics: Mapping[str, float],
    weight: float,
    over_base: Comparison | None,
    health: TextHealth | None,
    *,
    guidance: Guidance = "sum",
) -> Learning:
    """What the metrics of a training say, beside the win rate over the base on the ARM's own dimension."""
    kl, accuracy = metrics.get(KL), metrics.get(IMPLICIT)
    pairs = int(metrics[PAIRS]) if PAIRS in metrics else None
    reach = needed = least = None
    if over_base is not None and over_base.win_rate.n:
        needed = over_base.win_rate.interval[0] - CHANCE
    if kl is not None and health is not None:
        reach = weight * math.sqrt(max(kl, 0.0) * health.mean_tokens / 2)
        if needed is not None and needed > 0 and weight > 0:
            least = 2 * (needed / weight) ** 2 / health.mean_tokens
    finding: Finding = "not known"
    if reach is not None and needed is not None and needed > 0 and reach < needed:
        finding = "luck" if guidance == "contrast" else "luck or sharpening"
    elif reach is not None and reach < HARDLY:
        finding = "hardly moved"
    elif accuracy is not None and pairs:
        finding = "learned" if wilson(accuracy, pairs, Z)[0] > CHANCE else "not shown"
    sentence = _sentence(finding, kl, accuracy, pairs, reach, needed, least) + _length(metrics)
    return Learning(finding, sentence, kl, accuracy, pairs, reach, needed, least)


def _length(metrics: Mapping[str, float]) -> str:
    """The implicit accuracy where the longer and where the shorter response was chosen, as a sentence."""
    longer, shorter, _ = by_length(metrics, names.IMPLICIT_ACCURACY)
    if longer is None or shorter is None:
        return ""
    told = (
        f"{longer.value:.2f} of the {longer.n:,} pairs whose longer response was chosen "
        f"and in {shorter.value:.2f} of the {shorter.n:,} whose shorter one was"
    )
    for part, liked in ((longer, "shorter"), (shorter, "longer")):
        if part.interval[1] < CHANCE:
            return f" In part it learned to prefer {liked} responses: it is right in {told}."
    return f" It is right in {told}."


def _sentence(
    finding: Finding,
    kl: float | None,
    accuracy: float | None,
    pairs: int | None,
    reach: float | None,
    needed: float | None,
    least: float | None,
) -> str:
    distance = f"KL to the base of {people(kl)} nats a token" if kl is not None else "KL was not measured"
    prefers = (
        f"implicit accuracy {accuracy:.2f} on {pairs:,} validation pairs, where chance is 0.50"
        if accuracy is not None and pairs
        else "implicit accuracy was not measured"
    )
    if finding in ("luck", "luck or sharpening"):
        return (
            f"The win is {finding}: at a {distance}, the ARM can move a win rate by about "
            f"{people(reach)} at most, and this one lies {people(needed)} or more above one half, which "
            f"takes a KL of {people(least)} ({prefers})."
        )
    if finding == "hardly moved":
        return (
            f"The ARM hardly differs from the base: at a {distance}, it can move a win rate by about "
            f"{people(reach)} at most ({prefers})."
        )
    if finding == "learned":
        return f"The ARM learned the preference: {prefers}; {distance}."
    if finding == "not shown":
        return f"That the ARM learned the preference is not shown: {prefers}; {distance}."
    return f"Whether the ARM learned the preference is not known: {prefers}; {distance}."

"""How strongly to guide: the points of a sweep, the limits that they keep, and the one that is taken.

Only numbers and strings pass through here. A weight is taken where the lower bound of its win rate over the
base is highest, among those that keep four limits on the same prompts:

KL           KL(guided || base) at most `max_kl` nats a token
perplexity   at most `max_health_ratio` times the base's own
repetition   likewise, or the base's + 0.02, as the rule of promotion has it
finished     answers that end by themselves: their share at least `min_finished_ratio` times the base's own

and whose verdicts could be read, all but a tenth. The last three count as exceeded only where the prompts
show it (`shown_limits`). The bound is the lower end of Wilson's 95% interval for every weight: the bootstrap,
which gives the interval of a graded win rate, is too narrow on few prompts to be compared with it. Of weights
with equal bounds the smallest is taken.

The win rate of the weight that is taken is that of the best of several, so it is biased upwards; what decides
is measured on other prompts.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace

from genarm.config import TuneConfig
from genarm.evaluation.condition import MAX_UNREAD, unread_too_often
from genarm.evaluation.text_health import Limit
from genarm.evaluation.win_rate import Z_TWO_SIDED, wilson
from genarm.system.counted import counted
from genarm.types import Comparison, Estimate, StrengthPoint, TextHealth

COLUMNS = (
    "weight", "kl", "win_rate", "win_rate_lower", "win_rate_upper", "held_out_win_rate", "held_out_lower",
    "held_out_upper", "perplexity", "repetition", "mean_tokens", "finished",
)  # fmt: skip


def base_point(health: TextHealth, prompts: int, temperature: float, *, held_out: bool) -> StrengthPoint:
    """The base as the origin of the curve: half of its prompts won over itself."""
    even = Estimate(0.5, (0.5, 0.5), prompts)
    return StrengthPoint(
        kind="base",
        weight=0.0,
        temperature=temperature,
        win_rate=even,
        held_out=even if held_out else None,
        kl=0.0,
        perplexity=health.perplexity,
        repetition=health.repetition,
        mean_tokens=health.mean_tokens,
        finished=health.finished,
    )


def guided_point(
    weight: float,
    temperature: float,
    health: TextHealth,
    judged: Comparison,
    config: TuneConfig,
    text_faults: Sequence[str],
) -> StrengthPoint:
    """One weight, with the limits that it does not keep; what the held-out judge says decides nothing.

    `text_faults` are those of `shown_limits.text_faults`.
    """
    kept, told = Limit("KL", config.max_kl, "the most allowed").check(health.kl)
    faults = [*([] if kept else [told]), *text_faults]
    if unread_too_often(judged.win_rate.n, judged.unread):
        asked = judged.win_rate.n + judged.unread
        faults.append(f"{judged.unread} of {asked} verdicts could not be read, more than {MAX_UNREAD:.0%}")
    return StrengthPoint(
        kind="guided",
        weight=weight,
        temperature=temperature,
        win_rate=judged.win_rate,
        held_out=None,
        kl=health.kl,
        perplexity=health.perplexity,
        repetition=health.repetition,
        mean_tokens=health.mean_tokens,
        finished=health.finished,
        faults=faults,
    )


def sharpened_point(
    weight: float, temperature: float, health: TextHealth, judged: Comparison
) -> StrengthPoint:
    """The control: the base alone, as sharp as an ARM that learned nothing would make it at this weight."""
    return StrengthPoint(
        kind="sharpened",
        weight=weight,
        temperature=temperature,
        win_rate=judged.win_rate,
        held_out=None,
        kl=None,
        perplexity=health.perplexity,
        repetition=health.repetition,
        mean_tokens=health.mean_tokens,
        finished=health.finished,
    )


def with_held_out(points: Sequence[StrengthPoint], judged: Sequence[Comparison]) -> list[StrengthPoint]:
    """The same points, each with its win rate by the held-out judge."""
    return [replace(p, held_out=found.win_rate) for p, found in zip(points, judged, strict=True)]


def sharpened(temperature: float, weight: float) -> float:
    """The temperature at which the base alone equals a sum with itself: T / (1 + w)."""
    return temperature / (1 + weight)


def choose(points: Sequence[StrengthPoint]) -> StrengthPoint | None:
    """The weight that is taken among those that keep the limits; None where none does."""
    within = [point for point in points if point.kind == "guided" and not point.faults]
    return max(within, key=lambda point: (lower_bound(point), -point.weight), default=None)


def lower_bound(point: StrengthPoint) -> float:
    """The lower end of Wilson's 95% interval of a win rate, whatever made the interval that is shown."""
    return wilson(point.win_rate.value, point.win_rate.n, Z_TWO_SIDED)[0]


def explained(points: Sequence[StrengthPoint], chosen: StrengthPoint | None) -> str:
    """Why this weight, or why none, in one sentence with its numbers."""
    tried = [point for point in points if point.kind == "guided"]
    left_out = "; ".join(f"weight {p.weight:g}: {', '.join(p.faults)}" for p in tried if p.faults)
    if chosen is None:
        return f"no weight of {len(tried)} keeps the limits of tuning on validation prompts: {left_out}"
    number = sum(not p.faults for p in tried)
    why = f"win rate {chosen.win_rate} over base"
    if number == 1:
        why += f", the only one of {counted(len(tried), 'weight')} within the limits"
    else:
        within = f"{number} of {len(tried)}" if left_out else f"{len(tried)}"
        why += f", the best lower bound ({lower_bound(chosen):.2f}) of the {within} weights within the limits"
    return f"{why}; left out: {left_out}" if left_out else why


def as_csv(points: Sequence[StrengthPoint]) -> str:
    """The curve as CSV, from the base to the strongest guidance; nothing but the header where it is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for p in points:
        if p.kind != "sharpened":  # it has no KL, so no place on the curve
            held = (p.held_out.value, *p.held_out.interval) if p.held_out else ("", "", "")
            rate = (p.win_rate.value, *p.win_rate.interval)
            writer.writerow(
                [p.weight, p.kl, *rate, *held, p.perplexity, p.repetition, p.mean_tokens, p.finished]
            )
    return text.getvalue()

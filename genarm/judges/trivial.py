"""Judges that know nothing of the task: what a judge that people rely on must beat, on every set of pairs."""

from collections.abc import Callable

from genarm.judges.scorers import PLAIN_RANGE, positive


def longer(text: str) -> float:
    """Number of characters."""
    return float(len(text))


def flesch(text: str) -> float:
    """Flesch reading ease of the text as it stands, by textstat, clipped to [-50, 120].

    The scorer `plain` is the same formula made fit for responses: it removes markup, ends a sentence at
    the end of a line, and rates fewer than five different words lowest.
    """
    import textstat

    lowest, highest = PLAIN_RANGE
    return min(highest, max(lowest, float(textstat.flesch_reading_ease(text))))


TRIVIAL: dict[str, Callable[[str], float]] = {"longer": longer, "VADER": positive, "Flesch": flesch}

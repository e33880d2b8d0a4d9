"""What a report says of how far the judges agree with people."""

from genarm.evaluation.judge_conditions import passes
from genarm.types import Comparison, JudgeStanding, Scorecard


def is_measured(card: Scorecard) -> bool:
    """Whether the judge of a challenger's own dimension was checked against people, as it is now."""
    own = _own(card)
    return own is not None and own.check is not None and not own.stale


def is_reliable(card: Scorecard) -> bool:
    """Whether that judge was checked, and agrees with people on every file of the check."""
    own = _own(card)
    return (
        own is not None and own.check is not None and not own.stale and all(map(passes, own.check.agreements))
    )


def corrected_sentence(card: Scorecard, compared: Comparison | None) -> str:
    """The win rate that people would see, from how often the judge agrees with them; or why there is none.

    Empty where nothing was compared, and where the judge was not measured.
    """
    own = _own(card)
    if compared is None or own is None or own.check is None or own.stale:
        return ""
    agreement = own.check.accuracy
    if compared.corrected is not None:
        return f"Corrected for the judge's errors: {compared.corrected} (agreement with people {agreement})."
    return (
        f"There is no win rate corrected for the judge's errors: its agreement with people, {agreement}, is "
        "not shown to exceed one half."
    )


def _own(card: Scorecard) -> JudgeStanding | None:
    return next((s for s in card.standings if s.dimension == card.dimension and not s.held_out), None)

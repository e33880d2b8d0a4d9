"""How the votes stand, dimension by dimension."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from scipy import stats

from genarm.feedback.store import Store


@dataclass(frozen=True, slots=True)
class Standing:
    """The votes on a dimension.

    `guided_share` is of the votes that are no ties, with Wilson's 95% interval from `low` to `high`; it is
    None where there is none. `on_trial` votes, between a challenger and the champion, have no part in it, nor
    in `ties`. `top_user_share` is of all votes. `open` comparisons wait for a vote.
    """

    dimension: str
    open: int
    votes: int
    ties: int
    consent: int
    users: int
    guided_share: float | None
    low: float
    high: float
    top_user_share: float
    on_trial: int = 0


@dataclass(slots=True)
class _Counts:
    preferred: Counter[str] = field(default_factory=Counter)
    users: Counter[tuple[str, str]] = field(default_factory=Counter)
    consent: int = 0
    on_trial: int = 0


def standing(store: Store, dimensions: Sequence[str]) -> list[Standing]:
    """How the votes stand on these dimensions, and on others that the store has votes on."""
    counts: dict[str, _Counts] = {d: _Counts() for d in dimensions}
    for vote in store.votes():
        c = vote.comparison
        of = counts.setdefault(c.dimension, _Counts())
        if c.trial:
            of.on_trial += 1
        else:
            of.preferred[vote.preferred] += 1
        of.users[c.key, c.user] += 1
        of.consent += c.consent
    waiting = store.unanswered()
    return [_standing(d, of, waiting.get(d, 0)) for d, of in counts.items()]


def _standing(dimension: str, of: _Counts, waiting: int) -> Standing:
    wins, n = of.preferred["guided"], of.preferred["guided"] + of.preferred["other"]
    votes = of.preferred.total() + of.on_trial
    low, high = 0.0, 1.0
    if n:
        interval = stats.binomtest(wins, n).proportion_ci(method="wilson")
        low, high = float(interval.low), float(interval.high)
    return Standing(
        dimension=dimension,
        open=waiting,
        votes=votes,
        ties=of.preferred["tie"],
        consent=of.consent,
        users=len(of.users),
        guided_share=wins / n if n else None,
        low=low,
        high=high,
        top_user_share=max(of.users.values(), default=0) / votes if votes else 0.0,
        on_trial=of.on_trial,
    )

"""The claims that can be looked at, and those about rows that answered nothing, which stay open."""

from collections.abc import Collection
from typing import Any

from genarm.experiments.claims import Claim
from genarm.experiments.claims_config import ClaimsConfig


def answered(given: ClaimsConfig, refused: Collection[str]) -> tuple[ClaimsConfig, list[Claim]]:
    """The claims without those about a row of `refused`, and these as inconclusive ones."""
    subject, left = given.subject, list[Claim]()

    def lost(kind: str, other: str, *more: str | None) -> bool:
        row = next((row for row in (subject, other, *more) if row in refused), None)
        if row is not None:
            why = f"{row} answered nothing, since nothing that was tried meets its constraint"
            left.append(Claim(kind, subject, other, "inconclusive", why))
        return row is not None

    same, gap = given.equivalent, given.recovers
    kept: dict[str, Any] = {
        "beats": tuple(other for other in given.beats if not lost("beats", other)),
        "equivalent": same if same and not lost("equivalent", same.to) else None,
        "faster": {other: by for other, by in given.faster.items() if not lost("faster", other)},
        "recovers": gap if gap and not lost("recovers", gap.ceiling, gap.floor, gap.control) else None,
    }
    return given.model_copy(update=kept), left

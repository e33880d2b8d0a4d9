"""What a version itself remembers of how well it did and why: metrics, last decision, last rollback.

A version of MLflow has no metrics, and pages are made of what one request for all versions brings. So these
are tags that hold JSON. The full record are the runs that they name.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from genarm.errors import DataError
from genarm.registry import tags
from genarm.registry.store import Store
from genarm.registry.versions import Version, set_tag
from genarm.system.files import read_value


@dataclass(frozen=True, slots=True)
class DecisionNote:
    """The last decision on a version; `against` is the champion it was compared with, 0 for the base model.

    `experiment` and `run` lead to its record, `by` is a flow run or `operator`, `user` the name behind it.
    """

    outcome: str
    reasons: tuple[str, ...]
    against: int
    experiment: str
    run: str
    at: str
    by: str = ""
    user: str = ""
    forced: str = ""


@dataclass(frozen=True, slots=True)
class RollbackNote:
    """The last rollback from a version to another, 0 for the base model."""

    to: int
    reason: str
    experiment: str
    run: str
    at: str
    by: str = ""
    user: str = ""


def decision_note(version: Version) -> DecisionNote | None:
    """The last decision on a version; None where there is none, or somebody edited it beyond recognition."""
    found: DecisionNote | None = _noted(version, tags.DECISION, DecisionNote)
    return found


def rollback_note(version: Version) -> RollbackNote | None:
    """The last rollback from a version; None where there is none, or it was edited beyond recognition."""
    found: RollbackNote | None = _noted(version, tags.ROLLED_BACK, RollbackNote)
    return found


def noted_metrics(version: Version) -> dict[str, float]:
    """The metrics of a version, of its training and of the last decision on it; empty where none are."""
    return _noted(version, tags.METRICS, dict[str, float]) or {}


def note_text(note: DecisionNote | RollbackNote) -> str:
    """A note as its tag holds it."""
    return json.dumps(asdict(note), ensure_ascii=False)


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Metrics as their tag holds them, rounded to six digits: the exact values are on the runs."""
    return json.dumps({name: float(f"{value:.6g}") for name, value in sorted(metrics.items())})


def note(store: Store, version: Version, tag: str, text: str) -> None:
    """Set one tag of a version unless it says so already."""
    if version.tags.get(tag) != text:
        set_tag(store, version, tag, text)


def _noted(version: Version, tag: str, kind: Any) -> Any:
    try:
        return read_value(json.loads(version.tags[tag]), kind, tag) if tag in version.tags else None
    except (ValueError, DataError):
        return None

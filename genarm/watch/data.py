"""The data in use: which version, how old it is, when its sources were last asked, and what waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from genarm.config import Params
from genarm.data.dvc import POINTER, data_version
from genarm.intake import held, record
from genarm.intake.origins import origins
from genarm.pipeline.lineage import git
from genarm.system.redact import redact


@dataclass(frozen=True, slots=True)
class Source:
    """A source of `data.from`; `asked` is empty where this clone never asked it."""

    source: str
    dimensions: Sequence[str]
    asked: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Data that waits for a person; `stale` where it was compared with another version than is in use."""

    since: str
    reasons: Sequence[str]
    flow_run: str
    stale: bool


@dataclass(frozen=True, slots=True)
class Data:
    """The data version, empty for none.

    `since` is when the commit that has it was made, or when this folder changed it, if no commit has it.
    """

    version: str
    since: str
    committed: bool
    sources: Sequence[Source]
    waiting: Waiting | None


def look(root: Path, params: Params | None) -> Data:
    """What is known of the data without asking any source. Raises DataError for a damaged `data.dvc`."""
    version = data_version(root) or ""
    since, committed = _since(root) if version else ("", False)
    waits = held.waiting(root)
    waiting = Waiting(waits.since, waits.reasons, waits.flow_run, waits.version != version) if waits else None
    return Data(version, since, committed, _sources(root, params) if params else [], waiting)


def _sources(root: Path, params: Params) -> list[Source]:
    known, rows = record.answered(root), []
    for origin in origins(params):
        answer = known.get(record.name_of(origin))
        told = (answer.at, answer.state) if answer else ("", "")
        rows.append(Source(redact(origin.source), origin.dimensions, *told))
    return rows


def _since(root: Path) -> tuple[str, bool]:
    at = git(root, "log", "-1", "--format=%cI", "--", POINTER)
    if at and not git(root, "status", "--porcelain", "--", POINTER):
        return datetime.fromisoformat(at).astimezone(UTC).isoformat(timespec="seconds"), True
    changed = datetime.fromtimestamp((root / POINTER).stat().st_mtime, UTC)
    return changed.isoformat(timespec="seconds"), False

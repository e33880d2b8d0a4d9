"""The status of a project: each part is asked by itself, and what cannot be asked is named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from genarm.errors import GenarmError
from genarm.pipeline.project import Project
from genarm.system.redact import redact
from genarm.watch import data, published, runs
from genarm.watch.data import Data
from genarm.watch.prefect_api import named_server
from genarm.watch.published import Published
from genarm.watch.runs import Run, Runs

if TYPE_CHECKING:
    from genarm.registry import Registry
    from genarm.registry.overview import Concluded, InUse

T = TypeVar("T")
PARTS = ("parameters", "registry", "decisions", "champions.json", "runs", "data", "publishing")
DECISIONS = 20  # the last ones


@dataclass(frozen=True, slots=True)
class NotAsked:
    """A part that could not be asked, why, and the way out."""

    part: str
    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Waits:
    """What waits for a person, and what that person can do."""

    what: str
    way_out: str


@dataclass(slots=True)
class Status:
    """All that is known at a moment; a part that could not be asked is None, and named in `not_asked`.

    `runs` is None, too, where no Prefect server is named. `differences` are those between the registry and
    `mlflow/champions.json`.
    """

    at: str
    folder: str
    champions: "list[InUse] | None" = None
    decisions: "list[Concluded] | None" = None
    differences: list[str] | None = None
    runs: Runs | None = None
    data: Data | None = None
    published: Published | None = None
    waiting: list[Waits] = field(default_factory=list)
    not_asked: list[NotAsked] = field(default_factory=list)

    @property
    def is_unknown(self) -> bool:
        """Whether nothing at all could be read."""
        known = (self.champions, self.decisions, self.runs, self.data, self.published)
        return all(part is None for part in known)


def status(root: Path, run: Run | None = None) -> Status:
    """Ask everything that can be asked within seconds.

    `run` is one that the caller knows, for where no server can be asked.
    """
    project, found = Project(root), Status(datetime.now(UTC).isoformat(timespec="seconds"), str(root))
    params = _ask(found, "parameters", lambda: project.params)
    found.data = _ask(found, "data", lambda: data.look(root, params))
    if params:
        found.published = _ask(found, "publishing", lambda: published.look(root, params.publish))
    if api := named_server():
        found.runs = _ask(found, "runs", lambda: runs.ask(api))
    elif run:
        found.runs = Runs("", [run], [])
    _ask_registry(found, project, list(params.dimensions) if params else None)
    found.waiting = _waiting(found)
    return found


def _ask(found: Status, part: str, question: Callable[[], T]) -> T | None:
    try:
        return question()
    except GenarmError as error:
        told = NotAsked(part, redact(error.message), redact(error.hint))
    except OSError as error:
        told = NotAsked(part, redact(str(error)), "check its permissions")
    found.not_asked.append(told)
    return None


def _ask_registry(found: Status, project: Project, dimensions: Sequence[str] | None) -> None:
    """Champions, decisions and differences; a store is not created where there is none yet."""
    from genarm import registry
    from genarm.registry.everything import all_dimensions
    from genarm.registry.overview import InUse, concluded, overview
    from genarm.registry.store import store_exists, translates_errors

    def opened() -> "Registry | None":
        return registry.connect(project.root) if store_exists(project.root) else None

    before = len(found.not_asked)
    store = _ask(found, "registry", opened)
    if store is None:
        if len(found.not_asked) == before:
            found.champions, found.decisions = [InUse(d) for d in dimensions or ()], []
        return
    if dimensions is None:  # params.yaml cannot be read
        dimensions = _ask(found, "registry", lambda: translates_errors(all_dimensions)(store)) or []
    known = list(dimensions)
    found.champions = _ask(found, "registry", lambda: overview(store, known))
    found.decisions = _ask(found, "decisions", lambda: concluded(store, DECISIONS))
    file = project.layout.champions
    if file.is_file() or any(one.version for one in found.champions or ()):
        found.differences = _ask(found, "champions.json", lambda: store.drift(file, known))


def _waiting(found: Status) -> list[Waits]:
    """Everything that goes on only if a person does something."""
    waits: list[Waits] = []
    if found.data and (held := found.data.waiting):
        what = f"new data, held since {held.since}: {'; '.join(held.reasons)}"
        if held.stale:
            waits.append(Waits(f"{what}; it was compared with data no longer in use", "genarm refresh"))
        else:
            waits.append(Waits(what, "genarm data approve, or genarm data reject"))
    for run in found.runs.paused if found.runs else ():
        waits.append(Waits(f"run {run.name} of {run.flow} is paused", "Resume, on its page in Prefect"))
    for one in found.champions or ():
        if (trial := one.on_trial) and trial.outcome == "promote":
            what = f"{one.dimension}: version {trial.version} may be promoted, and was not"
            waits.append(Waits(what, f"genarm registry promote {one.dimension}"))
        if one.night and one.night.worse:
            what = f"{one.dimension}: version {one.version} is shown to win too seldom, {one.night.pooled}"
            waits.append(Waits(what, f"genarm registry rollback {one.dimension} --reason TEXT"))
    for line in found.differences or ():
        waits.append(Waits(line, "genarm registry reconcile"))
    if found.published and found.published.open:
        waits.append(Waits(f"results are not published: {_left(found.published)}", "genarm publish"))
    return waits


def _left(state: Published) -> str:
    lines = list(state.left)
    if state.not_committed:
        lines.append(f"no commit has {', '.join(state.not_committed)}")
    if state.not_pushed:
        lines.append(f"commits that were not pushed: {state.not_pushed}")
    return "; ".join(lines)

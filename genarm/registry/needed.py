"""What of the registry is needed, and why: of which versions all, of which the record alone.

A version is kept whole while somebody may load it. Its record (tags, aliases, page, run) is kept while a
decision, a rollback, a block or another version names it: so each stays what it was evidence of.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from genarm.registry import tags
from genarm.registry.everything import all_runs, parents
from genarm.registry.standing import DONE, PENDING
from genarm.registry.store import Store
from genarm.registry.versions import Version

if TYPE_CHECKING:
    from mlflow.entities import Run

Level = Literal["whole", "record", "nothing"]
NAMING = (tags.CHALLENGER_VERSION, tags.CHAMPION_VERSION, tags.PROMOTED_VERSION, tags.ROLLED_BACK_TO)


@dataclass(frozen=True, slots=True)
class Rules:
    """What is old: beyond the `newest` versions of a dimension, and not made within so many `days`."""

    newest: int = 10
    days: int = 30

    def is_young(self, when: datetime, now: datetime) -> bool:
        """Whether something was made within the days."""
        return now - when < timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Need:
    """How much of a version is needed, and why."""

    level: Level
    why: str


def named_in_log(store: Store) -> dict[str, set[int]]:
    """The versions of each dimension that a decision or a rollback names."""
    found = dict[str, set[int]]()
    for run in all_runs(store, tags.DECISIONS_EXPERIMENT):
        known = run.data.tags
        numbers = {int(known[tag]) for tag in NAMING if known.get(tag, "").isdecimal()}
        found.setdefault(known.get(tags.DIMENSION, ""), set()).update(numbers)
    return found


def needs(
    stored: Iterable[Version],
    runs: Mapping[str, "Run"],
    logged: Mapping[str, Collection[int]],
    noted: Mapping[str, Collection[int]],
    rules: Rules,
    now: datetime,
) -> dict[tuple[str, int], Need]:
    """What of each version is needed, by dimension and number.

    `runs` are those of trainings by id; `logged` has the versions that decisions name, `noted` those that the
    project's files name (`mlflow/champions.json`, `incumbents.json`, `starts.json`).
    """
    every = list(stored)
    known, result = _Known(every, runs), dict[tuple[str, int], Need]()
    places = dict[str, int]()  # how many newer versions a dimension has
    for version in every:
        place = places[version.dimension] = places.get(version.dimension, 0) + 1
        if why := _whole(version, known, noted.get(version.dimension, ())):
            need = Need("whole", why)
        elif place <= rules.newest:
            need = Need("whole", f"one of the newest {rules.newest}")
        elif rules.is_young(datetime.fromisoformat(version.created), now):
            need = Need("whole", f"made within {rules.days} days")
        elif why := _record(version, known, logged.get(version.dimension, ())):
            need = Need("record", why)
        else:
            need = Need("nothing", f"older than {rules.days} days and the newest {rules.newest}")
        result[version.dimension, version.number] = need
    return result


class _Known:
    """What other versions say of one."""

    def __init__(self, stored: list[Version], runs: Mapping[str, "Run"]) -> None:
        self.started, self.named = dict[str, str](), dict[str, str]()  # hash -> by whom
        self.changing = set[tuple[str, str]]()
        for version in stored:
            said = f"{version.dimension} {version.number}"
            for sha256 in parents(version, runs.get(version.run_id)).values():
                (self.started if version.aliases else self.named)[sha256] = said
            if version.tags.get(tags.PROMOTION) == PENDING or tags.ROLLBACK in version.tags:
                for tag in (tags.PROMOTION_FROM, tags.PROMOTION_PREVIOUS):
                    self.changing.add((version.dimension, version.tags.get(tag, "0")))


def _whole(version: Version, known: _Known, noted: Collection[int]) -> str:
    """Why somebody may load a version; empty where nobody will."""
    if version.aliases:
        return ", ".join(version.aliases)
    if version.number in noted:
        return "named in mlflow/champions.json, incumbents.json or starts.json"
    if version.tags.get(tags.PROMOTION) == PENDING or tags.ROLLBACK in version.tags:
        return "a change of it is under way"
    if (version.dimension, str(version.number)) in known.changing:
        return "a change that is under way may put it back"
    if version.sha256 in known.started:
        return f"{known.started[version.sha256]} was made of it"
    if version.tags.get(tags.PROMOTION) == DONE:
        return "was the champion: a rollback may go to it"
    return ""


def _record(version: Version, known: _Known, logged: Collection[int]) -> str:
    if version.tags.get(tags.BLOCKED):
        return "blocked"
    if version.number in logged:
        return "named in the log of decisions"
    if version.sha256 in known.named:
        return f"{known.named[version.sha256]} was made of it"
    return ""

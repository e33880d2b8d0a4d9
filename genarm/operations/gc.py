"""`genarm gc`: what of a project is old and needed by nobody, told or removed.

Nothing is removed that a champion, the version before it, the log of decisions or a run in progress needs.
What was removed is looked for again afterwards, so the sizes told are what is there.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from genarm import registry
from genarm.errors import ConfigError
from genarm.operations import old_caches
from genarm.operations.old_caches import Old, size
from genarm.operations.unused_objects import (
    cache_files,
    cache_of,
    commits,
    dvc_alone,
    recorded_in,
    recorded_now,
    unused,
)
from genarm.pipeline.alone import alone
from genarm.pipeline.project import Project
from genarm.registry import tags
from genarm.registry.needed import Rules
from genarm.registry.pruning import RegistryContent, content, prune
from genarm.registry.store import store_exists
from genarm.system.files import read_json
from genarm.types import Champion

__all__ = ["Collected", "Rules", "collect"]

KINDS = ("versions", "runs", "responses", "dvc", "caches", "held")


@dataclass(frozen=True, slots=True)
class Item:
    """Something that may go, by what rule, and its bytes."""

    kind: str
    name: str
    why: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Total:
    """One kind: its bytes before and after; without `--yes`, what they would be."""

    kind: str
    items: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What `genarm gc` found and did; `notes` has what it did not look at, and what it could not know."""

    removed: bool
    totals: tuple[Total, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...]


def collect(
    project: Project,
    rules: Rules,
    *,
    only: Sequence[str] = (),
    yes: bool = False,
    now: datetime | None = None,
) -> Collected:
    """Find what may go, and remove it where `yes`; `only` names kinds, all by default.

    Raises ConfigError for rules that would keep nothing or a kind that is none, Busy where `yes` meets a run
    of this project, another change of the registry or a DVC command.
    """
    _check(rules, only)
    kinds, now = tuple(k for k in KINDS if k in (only or KINDS)), now or datetime.now(UTC)
    look = _Look(project, rules, kinds, now)
    if not yes:
        before = look.at_all()
        return look.result(
            before, {kind: before[kind][0] - _bytes(items) for kind, (_, items) in before.items()}
        )
    with alone(project):
        before = look.at_all()
        look.remove(before)
        after = look.at_all()
    return look.result(before, {kind: held for kind, (held, _) in after.items()}, removed=True)


def _check(rules: Rules, only: Sequence[str]) -> None:
    for name, value in (("--versions", rules.newest), ("--days", rules.days)):
        if value < 1:
            raise ConfigError(
                f"{name} is {value}, and has to be 1 or more", hint=f"leave out {name} for its default"
            )
    if unknown := [kind for kind in only if kind not in KINDS]:
        raise ConfigError(
            f"--only {unknown[0]} is no kind of what is kept", hint=f"choose among {', '.join(KINDS)}"
        )


Found = dict[str, tuple[int, list[Item]]]


class _Look:
    """One call's looks at the project, by the same rules and the same clock."""

    def __init__(self, project: Project, rules: Rules, kinds: Collection[str], now: datetime) -> None:
        self.project, self.rules, self.kinds, self.now = project, rules, kinds, now
        self.since = now.timestamp() - rules.days * 86400
        self.cache = cache_of(project.root)
        self.notes = dict[str, None]()  # in order, each once
        self._removals = list[Callable[[], None]]()

    def at_all(self) -> Found:
        """Bytes of each kind, and what of it may go."""
        self._removals.clear()
        in_registry = self._registry()
        found: Found = {}
        for kind in self.kinds:
            if kind in ("versions", "runs"):
                if in_registry is not None:
                    items = [
                        Item(f.kind, f.name, f.why, f.bytes) for f in in_registry.removable if f.kind == kind
                    ]
                    found[kind] = in_registry.bytes[kind], items
            elif kind == "dvc":
                if self.cache is None:
                    self._note(
                        "DVC's cache is no folder of this project and may be shared: see dvc gc --projects"
                    )
                else:
                    found[kind] = self._objects(self.cache, in_registry)
            else:
                found[kind] = self._files(kind)
        return found

    def remove(self, found: Found) -> None:
        """Remove what was found; in the registry, what is found again under its lock."""
        if {"versions", "runs"} & set(found):
            store = registry.connect(self.project.root)
            prune(store, self.rules, noted(self.project), self.now, {"versions", "runs"} & set(self.kinds))
        with dvc_alone(self.project.root) if "dvc" in found else nullcontext():
            for removal in self._removals:
                removal()

    def result(self, before: Found, after: dict[str, int], *, removed: bool = False) -> Collected:
        """What is told."""
        totals = tuple(Total(k, len(items), held, after[k]) for k, (held, items) in before.items())
        items = tuple(item for _, found in before.values() for item in found)
        return Collected(removed, totals, items, tuple(self.notes))

    def _registry(self) -> RegistryContent | None:
        if not {"versions", "runs", "dvc"} & set(self.kinds) or not store_exists(self.project.root):
            return None
        return content(registry.connect(self.project.root), self.rules, noted(self.project), self.now)

    def _objects(self, cache: Path, in_registry: RegistryContent | None) -> tuple[int, list[Item]]:
        root, whole = self.project.root, in_registry.whole if in_registry else []
        named = {v.tags[tags.GIT_COMMIT] for v in whole if v.tags.get(tags.GIT_COMMIT)}
        needed, absent = recorded_in(root, commits(root, self.rules.days) | named)
        for commit in sorted(absent):
            self._note(f"commit {commit[:12]}, of a version that is kept, is not in this clone: git fetch")
        data = {v.tags[tags.DATA_MD5] for v in whole if v.tags.get(tags.DATA_MD5)}
        needed |= recorded_now(root) | data | {f"{md5}.dir" for md5 in data}
        files = unused(root, cache, needed, self.since)
        self._removals += [partial(old_caches.remove, file.path) for file in files]
        items = [
            Item("dvc", str(f.path.relative_to(cache)), "no commit, version or file needs it", f.bytes)
            for f in files
        ]
        return sum(file.bytes for file in cache_files(cache)), items

    def _files(self, kind: str) -> tuple[int, list[Item]]:
        project, since = self.project, self.since
        if kind == "responses":
            olds: list[Old] = list(old_caches.responses(project, since))
            places = [project.layout.artifacts / of for of in old_caches.OF_DIMENSIONS]
        elif kind == "caches":
            olds = list(old_caches.caches(project, since, self.rules.days))
            places = old_caches.places(project)
        else:
            olds = list(old_caches.held_data(project))
            places = [project.root / ".cache" / "intake", project.root / ".cache" / "data"]
        self._removals += [old.remove for old in olds]
        items = [Item(kind, self._shown(old.path), old.why, old.bytes) for old in olds]
        return sum(map(size, places)), items

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.project.root) if path.is_relative_to(self.project.root) else path)

    def _note(self, line: str) -> None:
        self.notes[line] = None


def noted(project: Project) -> dict[str, set[int]]:
    """The versions that the project's files name: those in use, and those that training starts from."""
    found = dict[str, set[int]]()
    for path in (project.layout.champions, project.layout.incumbents, project.layout.starts):
        for dimension, version in (
            read_json(path, dict[str, Champion | None]) if path.is_file() else {}
        ).items():
            if version is not None:
                found.setdefault(dimension, set()).add(version.version)
    return found


def _bytes(items: Sequence[Item]) -> int:
    return sum(item.bytes for item in items)

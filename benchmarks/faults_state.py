"""What is on record in a registry, against what should be: what is missing is lost, what is more double."""

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults_counts import Counts

Facts = dict[str, Any]
MARKS = ("aliases", "promotion")


def registry_facts(root: Path, dimension: str, *, champions_file: bool = False) -> Facts:
    """Versions, aliases, finished runs and decisions; no times and no ids, so that two stores compare."""
    from genarm import registry
    from genarm.registry import tags

    store = registry.connect(root)
    versions = store.list([dimension])
    champion = store.champions([dimension])[dimension]
    if champion:  # it can be fetched, and is what it should be
        into = root / ".cache" / "fetched"
        shutil.rmtree(into, ignore_errors=True)
        into.parent.mkdir(parents=True, exist_ok=True)
        store.fetch(dimension, champion, into)
    facts: Facts = {
        "versions": [v["adapter"] for v in versions],
        "blocked": [f"version {v['version']}: {v['blocked']}" for v in versions if v["blocked"]],
        "trail": _runs(store, tags.DECISIONS_EXPERIMENT, tags.OUTCOME),
        "trainings": _runs(store, tags.TRAIN_EXPERIMENT, tags.ADAPTER_SHA256),
        "aliases": {alias: v["version"] for v in versions for alias in v["aliases"]},
        "promotion": {str(v["version"]): v["promotion"] for v in versions if v["promotion"]},
    }
    if champions_file:
        facts["aliases"]["drift"] = store.drift(root / "mlflow" / "champions.json", [dimension])
    return facts


def _runs(store: Any, experiment: str, tag: str) -> list[str]:
    """What each run is about, and how it ended."""
    found = store.client.get_experiment_by_name(experiment)
    if found is None:
        return []
    runs = store.client.search_runs([found.experiment_id], max_results=1000)
    return sorted(f"{run.data.tags.get(tag, '?')[:12]} {run.info.status}" for run in runs)


def compare(counts: Counts, expected: Facts, found: Facts, what: str) -> bool:
    """Count what is missing or there twice; whether all is as expected."""
    before = len(counts.notes)
    for key, wanted in expected.items():
        if key in MARKS:
            continue
        missing = Counter(wanted) - Counter(found[key])
        more = Counter(found[key]) - Counter(wanted)
        # a run that was left open beside the one that counts is no second one
        more = Counter({name: n for name, n in more.items() if not name.endswith("RUNNING")})
        if more:
            counts.note("double", f"{what}: {key} has {_list(more)} too many")
        elif missing:
            counts.note("lost", f"{what}: {key} lacks {_list(missing)}")
    if len(counts.notes) == before:
        for key in MARKS:
            if key in expected and expected[key] != found[key]:
                counts.note("lost", f"{what}: {key} are {found[key]} instead of {expected[key]}")
                break
    return len(counts.notes) == before


def _list(items: Counter[str]) -> str:
    return ", ".join(items)


@dataclass
class Kept:
    """States of a folder, which is put back where it was made: stores keep absolute paths."""

    root: Path
    states: Path
    known: set[str] = field(default_factory=set)

    def keep(self, state: str) -> None:
        """Remember the folder as it is."""
        shutil.copytree(self.root, self.states / state, symlinks=True)
        self.known.add(state)

    def put_back(self, state: str) -> None:
        """Make the folder what it was."""
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.copytree(self.states / state, self.root, symlinks=True, dirs_exist_ok=True)

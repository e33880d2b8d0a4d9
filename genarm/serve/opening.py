"""From the registry's champions to a lineup: each version fetched, checked and loaded beside the base."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from filelock import FileLock

from genarm.errors import ConfigError
from genarm.pipeline.answering.identity import identity
from genarm.pipeline.project import Project
from genarm.registry import Registry, connect
from genarm.serve.lineup import Lineup, ServedArm
from genarm.types import Champion

if TYPE_CHECKING:
    from genarm.decoding.engine.engine import Engine

Versions = Mapping[str, ServedArm]


def read_pins(texts: list[str], dimensions: list[str]) -> dict[str, int]:
    """['positive=3'] -> {'positive': 3}. Raises ConfigError naming the one that cannot be read."""
    pins: dict[str, int] = {}
    for text in texts:
        dimension, _, number = text.partition("=")
        if dimension not in dimensions or not (number.isascii() and number.isdecimal() and int(number)):
            raise ConfigError(
                f"cannot pin {text!r}",
                hint=f"write it like {dimensions[0]}=3; dimensions: {', '.join(dimensions)}",
            )
        if dimension in pins:
            raise ConfigError(f"{dimension} is pinned twice: to {pins[dimension]} and {number}", hint="once")
        pins[dimension] = int(number)
    return pins


class Opener:
    """Looks up what a project serves, and loads it. `slots` are how many responses are decoded together.

    With `trial` the version on trial on each dimension is served beside the one in use.
    """

    def __init__(self, project: Project, pins: Mapping[str, int], slots: int, *, trial: bool = False) -> None:
        self.project, self.pins, self.slots, self.trial = project, pins, slots, trial
        self._left_out: set[ServedArm] = set()

    def wanted(self) -> dict[str, ServedArm]:
        """The version of each dimension that is to be served now: as pinned, else the champion.

        Raises Unreachable or RegistryError where the registry does not say it.
        """
        store = connect(self.project.root)
        free = [d for d in self.project.params.dimensions if d not in self.pins]
        found: dict[str, ServedArm] = {}
        for dimension, champion in store.champions(free).items():
            if champion:
                found[dimension] = ServedArm(dimension, champion)
        for dimension, number in self.pins.items():
            version = store.version(dimension, number).champion()
            found[dimension] = ServedArm(dimension, version, pinned=True)
        ordered = [found[d] for d in self.project.params.dimensions if d in found]
        tried = [ServedArm(d, c, trial=True) for d, c in self._tried(store).items()]
        in_use = {arm.model for arm in ordered}
        ordered += [arm for arm in tried if arm.model not in in_use and arm not in self._left_out]
        return {arm.name: arm for arm in ordered}

    def _tried(self, store: Registry) -> dict[str, Champion]:
        return store.challengers(list(self.project.params.dimensions)) if self.trial else {}

    def leave_out(self, arms: Versions) -> bool:
        """Look no more for versions on trial among these, which do not fit; whether there were any."""
        trials = {arm for arm in arms.values() if arm.trial}
        self._left_out |= trials
        return bool(trials)

    def fetch(self, arm: ServedArm, store: Registry | None = None) -> Path:
        """The folder of a version. Raises AdapterError for other bytes."""
        folder = self.folder(arm.dimension, arm.champion)
        (store or connect(self.project.root)).fetch(arm.dimension, arm.champion, folder)
        return folder

    def open(self, arms: Versions, challenger: ServedArm | None = None) -> Lineup:
        """Fetch and load these. Raises AdapterError or ModelError for one that does not fit."""
        with self.alone():
            return self._open(arms, challenger)

    def alone(self) -> FileLock:
        """Held from fetching to loading: other servers of this folder then tidy nothing of it away."""
        folder = self.project.root / ".cache" / "serve"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / ".lock")

    def _open(self, arms: Versions, challenger: ServedArm | None) -> Lineup:
        from genarm.pipeline.served import Choosing, open_served

        project = self.project
        params, sampling = project.params, project.params.respond.sampling
        loaded = dict(arms) | ({challenger.numbered: challenger} if challenger else {})
        decoder = open_served(
            project.base,
            {name: self.fetch(arm) for name, arm in loaded.items()},
            dtype=params.base.dtype,
            strategy=sampling.strategy,
            batch_size=self.slots,
            speculate=sampling.speculate and bool(arms),
            device_map=params.base.device_map,
            compiled=sampling.compiled,
            contrast=any(arm.champion.guidance == "contrast" for arm in loaded.values()),
        )
        choosing = decoder if isinstance(decoder, Choosing) else None
        engine = choosing.engine if choosing else cast("Engine", decoder)
        return Lineup(engine, project.base.id, dict(arms), identity(project), choosing)

    def folder(self, dimension: str, champion: Champion) -> Path:
        """Where a version lies; two versions, which may be loaded at a time, lie apart."""
        name = f"{champion.version}-{champion.adapter_sha256[:12]}"
        return self.project.root / ".cache" / "serve" / dimension / name

    def tidy(self, arms: Versions, challenger: ServedArm | None = None) -> None:
        """Remove fetched versions that are not served; a loaded one needs its folder no more."""
        both = [*arms.values(), *([challenger] if challenger else [])]
        served = {self.folder(arm.dimension, arm.champion) for arm in both}
        with self.alone():
            for parent in {folder.parent for folder in served}:
                for other in set(parent.iterdir()) - served:
                    shutil.rmtree(other, ignore_errors=True)

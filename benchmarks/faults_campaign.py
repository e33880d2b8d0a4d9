"""What the experiments share: folder, seed, models, one Prefect server, a project before its first run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random

from faults_child import Did
from faults_counts import Counts
from faults_project import Ended, make_base, make_project
from faults_reference import Reference
from faults_servers_real import PrefectServer, Server
from faults_store import Store


@dataclass
class Campaign:
    """One run of the campaign. Everything that it makes lies below `folder`."""

    folder: Path
    seed: int
    quick: bool
    progress: bool = True
    experiment: str = ""
    random: Random = field(default_factory=Random)

    @cached_property
    def base(self) -> Path:
        """The toy base model, for all."""
        return make_base(self.folder / "base")

    @cached_property
    def project(self) -> Path:
        """A project in which nothing has run; to be copied."""
        return make_project(self.folder / "fresh", self.base)

    @cached_property
    def prefect(self) -> Server:
        """One Prefect server for all whole runs: a temporary one takes seconds to start."""
        server = PrefectServer(self.folder / "prefect")
        server.start()
        return server

    @cached_property
    def reference(self) -> Reference:
        """The run that nobody harms."""
        self.advance("a run that nobody harms")
        return Reference(self.project, self.folder, self.prefect.settings())

    @cached_property
    def store(self) -> Store:
        """A registry with three champions, one after the other, and a challenger."""
        self.advance("preparing a store")
        arms = self.arms(4)
        Store(self.folder / "a warm store", arms).warm()
        store = Store(self.folder / "a store", arms)
        store.prepare()
        return store

    def arms(self, count: int) -> list[Path]:
        """As many different ARMs on the base."""
        from toy_arms import make_arm
        from transformers import AutoModelForCausalLM

        from genarm.models import resolve

        source, folder = resolve(str(self.base)), self.folder / "arms"
        model = AutoModelForCausalLM.from_pretrained(self.base)
        for seed in range(count):
            if not (folder / str(seed)).exists():
                make_arm(folder / str(seed), source, model, seed=seed, r=2, target_modules=["q_proj"])
        return [folder / str(seed) for seed in range(count)]

    def begin(self, experiment: str) -> None:
        """Start the next experiment: it draws the same faults alone as after others."""
        self.experiment, self.random = experiment, Random(f"{self.seed} {experiment}")

    def clear(self) -> None:
        """Remove the line of progress."""
        if self.progress and sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def advance(self, what: str) -> None:
        """Say how far the experiment is: one line that overwrites itself, on a terminal alone."""
        if self.progress and sys.stderr.isatty():
            print(f"\r\033[K{self.experiment}: {what}", end="", file=sys.stderr, flush=True)

    def failed(self, counts: Counts, ended: Did | Ended, what: str) -> bool:
        """Count a command that did not end, or ended without a way out; whether it was one."""
        if ended.hung:
            counts.note("hung", f"{what} did not end in {ended.seconds:.0f} s")
        elif ended.crashed:
            said = ended.trace or ended.error if isinstance(ended, Did) else ended.output
            lines = [line for line in said.strip().splitlines() if line.strip()] or [""]
            counts.note("crashed", f"{what}: {lines[-1].strip()[:300]}")
        return ended.hung or ended.crashed

    @contextmanager
    def servers(self) -> Iterator[None]:
        """Stops what was started, however the campaign ends."""
        try:
            yield
        finally:
            if "prefect" in self.__dict__:
                self.prefect.kill()

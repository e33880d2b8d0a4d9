"""`genarm serve` as a process of its own, on a project of toy models with champions and a store of votes."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil
from toy_arms import make_arm
from toys import byte_tokenizer, toy_model

from genarm import registry
from genarm.models import resolve
from genarm.models.arm import read_card, write_card
from genarm.pipeline.project import Project
from genarm.serve.lineup import Lineup
from genarm.serve.opening import Opener
from genarm.serve.settings import ServeSettings

PARAMS = """\
base: {{model: "{base}", dtype: float32}}
dimensions:
  kind: {{data: k.jsonl, judge: length, weight: 0.8}}
  curt: {{data: c.jsonl, judge: brief, weight: 0.4}}
respond: {{guidance: sum, sampling: {{temperature: 1, max_new_tokens: 12, seed: 5, top_p: 1.0}}}}
feedback: {{store: votes.db}}
"""
DEFAULTS = ServeSettings(max_tokens=12)  # what a request gets that names no number: that of PARAMS
START_SECONDS = 180.0
SERVING = re.compile(r"^serving .* at (http://\S+)/v1$", re.MULTILINE)


class ToyProject:
    """A project with versions 1 and 2 of `kind`, of which 1 is the champion, and version 1 of `curt`."""

    def __init__(self, root: Path) -> None:
        """Make it in an empty folder."""
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        model, base = toy_model(), root / "base"
        model.save_pretrained(base)
        byte_tokenizer().save_pretrained(base)
        (root / "mlflow").mkdir()
        (root / "params.yaml").write_text(PARAMS.format(base=base), encoding="utf-8")
        self.project, source = Project(root), resolve(str(base))
        self.store = registry.connect(root)
        self.folders: dict[str, Path] = {}
        arms = (("kind@1", "kind", 0.8), ("curt", "curt", 0.4), ("kind@2", "kind", 0.8))
        for seed, (name, dimension, weight) in enumerate(arms):
            self.folders[name] = folder = make_arm(root / "arms" / name, source, model, seed=seed)
            write_card(folder, replace(read_card(folder), dimension=dimension))
            self.store.register(dimension, folder, weight=weight, metrics={}, curves=[], lineage={})
        self.promote("kind", 1)
        self.promote("curt", 1)

    def promote(self, dimension: str, number: int) -> None:
        """Make a version the champion, as the registry does in the end."""
        self.store.client.set_registered_model_alias(f"genarm-{dimension}", "champion", str(number))

    def lineup(self, kind: int) -> Lineup:
        """What the server serves while this version of `kind` is the champion, loaded in this process."""
        opener = Opener(self.project, {"kind": kind}, slots=4)
        return opener.open(opener.wanted())


class ToyServer:
    """The command on a project, until `stop`; its log lies beside."""

    def __init__(self, project: ToyProject, *options: str) -> None:
        """Start it and wait until it answers. Raises SystemExit with the end of its log where it does not."""
        self.log = project.project.root / "server.log"
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("genarm"), "serve", "--engine", "builtin",
                 "--port", "0", *options],
                cwd=project.project.root, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while not (found := SERVING.search(self.told)):
            if time.monotonic() > until or self.process.poll() is not None:
                self.process.kill()
                raise SystemExit(f"the server does not start:\n{self.told[-2000:]}")
            time.sleep(0.1)
        self.address = found[1]
        self.resources = psutil.Process(self.process.pid)

    @property
    def told(self) -> str:
        """Its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    @property
    def resources_now(self) -> tuple[float, int, int]:
        """Resident memory in MB of 2^20 bytes, threads, and open files."""
        p = self.resources
        return round(p.memory_info().rss / 2**20, 2), p.num_threads(), p.num_fds()

    @property
    def cpu_seconds(self) -> float:
        """Processor time that it has used."""
        times = self.resources.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> int:
        """End it as an operator does; its exit status, or that of SIGKILL after a minute."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

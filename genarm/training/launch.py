"""One training as several processes: started by accelerate, stopped in order, ended if one is lost.

`accelerate launch` starts `genarm.pipeline.train_worker` once for each process, with the same parameters. A
process reports its id, and why it failed, by files in a folder that only this training knows.
"""

import os
import re
import signal
import sys
import tempfile
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from rich.console import Console
from ruamel.yaml import YAML

from genarm.config import TrainConfig
from genarm.errors import ConfigError, GenarmError, TrainingError
from genarm.system.files import read_json, write_json
from genarm.system.process import run
from genarm.system.signals import on_first_signal

PACKAGED = Path(__file__).with_name("accelerate_configs")  # those that come with genarm
FOLDER = "GENARM_TRAINING"  # environment variable that names the folder of reports
KILLED = re.compile(r"rank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", re.S)
LAST_LINES = 40  # of the output, for a failure that no process reported


def needs_launch(config: TrainConfig) -> bool:
    """Whether this training is to be started as several processes, and this is not one of them."""
    if "WORLD_SIZE" in os.environ or config.launcher == "python":
        return False
    return config.launcher == "accelerate" or _devices() > 1


def launch(root: Path, dimension: str, config: TrainConfig) -> None:
    """Train in several processes, until all are done.

    Raises ConfigError for an accelerate configuration that does not exist, TrainingError with the error of
    the first process that failed, or with the rank of one that was killed.
    """
    file = config_file(root, config)
    settings = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)]
    if processes := config.processes or settings.get("num_processes") or _devices():
        command += ["--num_processes", str(processes)]
    if settings.get("num_machines", 1) == 1:
        command += ["--main_process_port", "0"]  # any free one: two trainings may run at a time
    command += ["-m", "genarm.pipeline.train_worker", dimension]
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="genarm-train-") as folder, _signals_forwarded(Path(folder)):
        environment = {**os.environ, FOLDER: folder}
        show = partial(console.print, markup=False, highlight=False, soft_wrap=True)
        code, lines = run(command, root, environment, show)
        if code:
            raise failure(dimension, Path(folder), lines)


def report_process_id() -> None:
    """Tell the launcher which process of this machine a signal goes to: the first one."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        _report("pid", os.getpid())


def report_failure(error: GenarmError) -> None:
    """Tell the launcher why this process fails."""
    _report("failed", (error.message, error.hint))


def failure(dimension: str, reports: Path, lines: list[str]) -> TrainingError:
    """The first cause of a failed training: a process that was killed, or the error that one reported.

    `lines` are the output of the launcher.
    """
    if killed := killed_process("\n".join(lines)):
        rank, number = killed
        return TrainingError(
            f"training of {dimension} ended: process {rank} was ended by {signal.Signals(number).name}",
            hint="a process is ended so when memory runs out; run again to resume from the last checkpoint",
        )
    failed = sorted(reports.glob("failed-*.json"), key=lambda p: p.stat().st_mtime_ns)
    if failed:
        message, hint = read_json(failed[0], tuple[str, str])
        return TrainingError(message, hint=hint)
    end = "\n".join(lines[-LAST_LINES:])
    return TrainingError(f"training of {dimension} failed in accelerate:\n{end}", hint="see its output above")


def killed_process(output: str) -> tuple[int, int] | None:
    """Rank and signal of the process that was killed first, by the report of torch's launcher; None for none.

    The only place that reads that report, which exists only as text.
    """
    cause = KILLED.search(output.rpartition("Root Cause")[2])
    if cause is None or int(cause[2]) >= 0:  # a positive exit code is the process's own
        return None
    return int(cause[1]), -int(cause[2])


def _report(kind: str, value: object) -> None:
    if folder := os.environ.get(FOLDER):
        write_json(Path(folder) / f"{kind}-{os.environ.get('RANK', '0')}.json", value)


def _devices() -> int:
    import torch

    return torch.cuda.device_count()


def config_file(root: Path, config: TrainConfig) -> Path:
    """The project's own file of that name, a path from the project, or the file that comes with genarm.

    Raises ConfigError, naming the files that exist, where it is none of the three.
    """
    name, own = config.accelerate_config, root / "configs" / "accelerate"
    for file in (own / f"{name}.yaml", root / name, PACKAGED / f"{name}.yaml"):
        if file.is_file():
            return file
    known = sorted({p.stem for folder in (own, PACKAGED) for p in folder.glob("*.yaml")})
    raise ConfigError(
        f"train.accelerate_config = {name!r} names no accelerate configuration",
        hint=f"name one of {', '.join(known)}, put a file of that name into {own}, or give a path",
    )


def _signals_forwarded(reports: Path) -> AbstractContextManager[None]:
    """The first Ctrl-C or SIGTERM goes to one process, which stops all after a step; the second acts here.

    torch's launcher itself would give the processes 30 seconds, which a step and a checkpoint may exceed.
    """

    def forward() -> None:
        for report in reports.glob("pid-*.json"):
            os.kill(read_json(report, int), signal.SIGTERM)

    return on_first_signal(forward)

"""One training as several processes: started by accelerate, stopped in order, ended if one is lost.

`accelerate launch` starts `genarm.pipeline.train_worker` once for each process, with the same parameters.
What a process has to tell (that it is there, or why it failed) lies as a file in a folder that only this
training knows.
"""

import os
import re
import signal
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console
from ruamel.yaml import YAML

from genarm.config import TrainConfig
from genarm.errors import ConfigError, TrainingError
from genarm.system.files import read_json, write_json
from genarm.system.process import run
from genarm.system.signals import heard

PACKAGED = Path(__file__).with_name("accelerate_configs")
TOLD = "GENARM_TRAINING"  # names the folder to the processes
LOST = re.compile(r"rank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", re.S)  # as torch's launcher reports it
KEPT = 40  # last lines of its output, for a failure that nobody explained


def several(config: TrainConfig) -> bool:
    """Whether this training is to be started as several processes, and is not one of them."""
    if "WORLD_SIZE" in os.environ or config.launcher == "python":
        return False
    if config.launcher == "accelerate":
        return True
    import torch

    return torch.cuda.device_count() > 1


def launch(root: Path, dimension: str, config: TrainConfig) -> None:
    """Train in several processes, until all are done.

    Raises ConfigError for a file of accelerate that is not there, TrainingError with what the first process
    that failed had to say, or which one was lost and how.
    """
    file = config_file(root, config)
    said = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)]
    if processes := config.processes or said.get("num_processes") or _devices():
        command += ["--num_processes", str(processes)]
    if said.get("num_machines", 1) == 1:
        command += ["--main_process_port", "0"]  # any that is free: two trainings may run at a time
    command += ["-m", "genarm.pipeline.train_worker", dimension]
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="genarm-train-") as folder, _passed_on(Path(folder)):
        environment = {**os.environ, TOLD: folder}
        code, lines = run(command, root, environment, lambda line: console.print(line, markup=False))
        if code:
            raise _failure(dimension, Path(folder), lines)


def tell(name: str, value: object) -> None:
    """Leave word for the process that started this one."""
    if folder := os.environ.get(TOLD):
        write_json(Path(folder) / f"{name}.json", value)


def _devices() -> int:
    import torch

    return torch.cuda.device_count()


def config_file(root: Path, config: TrainConfig) -> Path:
    """The project's own file of that name, a path from the project, or the file that genarm brings.

    Raises ConfigError, naming those that are there, where none of the three is.
    """
    name, own = config.accelerate_config, root / "configs" / "accelerate"
    for file in (own / f"{name}.yaml", root / name, PACKAGED / f"{name}.yaml"):
        if file.is_file():
            return file
    known = sorted({p.stem for folder in (own, PACKAGED) for p in folder.glob("*.yaml")})
    raise ConfigError(
        f"train.accelerate_config = {name!r} is no file of accelerate",
        hint=f"name one of {', '.join(known)}, put a file of that name into {own}, or give a path",
    )


def _passed_on(folder: Path) -> AbstractContextManager[None]:
    """The first Ctrl-C or SIGTERM goes to one process, which stops all after a step; the second acts here.

    Told itself, torch's launcher would wait 30 seconds for a step and a checkpoint, and kill.
    """

    def pass_on() -> None:
        for there in folder.glob("pid-*.json"):
            os.kill(read_json(there, int), signal.SIGTERM)

    return heard(pass_on)


def _failure(dimension: str, folder: Path, lines: list[str]) -> TrainingError:
    """What went wrong first: a process that was lost, or what one said before it ended."""
    report = "\n".join(lines).rpartition("Root Cause")[2]
    if (lost := LOST.search(report)) and (number := -int(lost[2])) > 0:
        name = signal.Signals(number).name
        return TrainingError(
            f"training of {dimension} ended: process {lost[1]} was ended by {name}",
            hint="a machine short of memory ends processes so; run again to go on from the last checkpoint",
        )
    said = sorted(folder.glob("failed-*.json"), key=lambda p: p.stat().st_mtime_ns)
    if said:
        message, hint = read_json(said[0], tuple[str, str])
        return TrainingError(message, hint=hint)
    end = "\n".join(lines[-KEPT:])
    return TrainingError(f"training of {dimension} failed in accelerate:\n{end}", hint="see its output above")

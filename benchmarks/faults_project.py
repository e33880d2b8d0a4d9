"""The project that the campaign breaks: small but real, with git, DVC, MLflow and Prefect, and what it says.

Toys come from tests/: a base model of two layers, sixty pairs, a scorer that counts a letter.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from genarm.operations import new_project
from genarm.system.env import project_root

ROOT = project_root(Path(__file__).parent)
sys.path.insert(0, str(ROOT / "tests"))  # the toys are there

DIMENSION = "vowels"
RUN_SECONDS = 240.0  # bound of a whole run, many times what it takes
COMMAND_SECONDS = 90.0  # and of any other command
BUSY = 4  # exit code: what an earlier process started has not ended yet
SCORER = '''
def vowels(text: str) -> float:
    """Share of the letter a."""
    return text.count("a") / max(1, len(text))
'''
SETTINGS = ("PREFECT_", "MLFLOW_", "DVC_", "GENARM_")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: exit code, None where it had to be stopped; what it printed; seconds."""

    code: int | None
    output: str
    seconds: float

    @property
    def hung(self) -> bool:
        return self.code is None

    @property
    def told(self) -> bool:
        """Whether it failed as errors should: the last thing it says is an error and a way out."""
        lines = [line for line in self.output.splitlines() if line.strip()]
        errors = [n for n, line in enumerate(lines) if line.startswith("error: ")]
        if self.code in (0, None) or not errors:
            return False
        last = lines[errors[-1] :]
        return any("hint: " in line for line in last) and "Traceback" not in "\n".join(last)

    @property
    def crashed(self) -> bool:
        """Whether it failed without a way out."""
        return not self.hung and self.code != 0 and not self.told


def make_base(folder: Path) -> Path:
    """A base that has no opinion yet, so that a few pairs move it wherever its text leads."""
    from toys import byte_tokenizer, toy_model

    toy_model(layers=2, initializer_range=0.02).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def rows(seed: int = 0, count: int = 60) -> list[dict[str, object]]:
    """Prompts with one pair each: the chosen response repeats `a`, the rejected one `q`."""
    rng = random.Random(seed)
    return [
        {
            "prompt": [{"role": "user", "content": f"say {seed} {i}"}],
            "chosen": "a" * (length := rng.randint(4, 8)),
            "rejected": "q" * length,
        }
        for i in range(count)
    ]


def write_data(folder: Path, seed: int = 0) -> Path:
    """A folder of preference data: one file of JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(seed)))
    return folder


def params(base: Path) -> dict[str, object]:
    train = {"beta": 0.5, "learning_rate": 0.02, "epochs": 8, "batch_pairs": 8}
    return {
        "base": {"model": str(base), "dtype": "float32"},
        "dimensions": {
            DIMENSION: {
                "data": "*.jsonl",
                "judge": "toy_scorers:vowels",
                "weight": 20.0,  # a few steps move a toy by little
                "train": {},
            }
        },
        "pairs": {"validation": 0.1, "evaluation": 0.4},
        "train": train | {"lora": {"layers": 2, "rank": 4, "alpha": 8}},
        "tune": {},
        "respond": {
            "prompts": 40,
            "guidance": "sum",
            "sampling": {"max_new_tokens": 12, "batch_size": 40, "top_p": 1.0},
        },
        "decide": {"alpha": 0.05, "min_gain": 0.01, "margin": 0.49, "max_health_ratio": 1000.0},
    }


def make_project(folder: Path, base: Path) -> Path:
    """A new project with data, committed; nothing has run in it."""
    folder.mkdir(parents=True)
    with (folder / "params.yaml.toy").open("w") as file:
        YAML().dump(params(base), file)
    new_project.create(folder)
    (folder / "params.yaml.toy").replace(folder / "params.yaml")
    for name in ("champions.json", "starts.json", "looks.json"):
        (folder / "mlflow" / name).write_text(json.dumps({DIMENSION: None}, indent=2) + "\n")
    (folder / "toy_scorers.py").write_text(SCORER)
    stages = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(stages.replace("- judges.py\n", "- toy_scorers.py\n"))
    write_data(folder / "data")
    run(folder, sys.executable, "-m", "dvc", "add", "--quiet", "data")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "toy")
    return folder


def copy_project(project: Path, folder: Path) -> Path:
    """Another project with the same files, before its first run: stores do not move."""
    shutil.copytree(project, folder, symlinks=True)
    return folder


def environment(project: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A shell of its own: nothing of this process's servers or of the user's settings, and plain text."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    ours = {"PATH": path, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return kept | ours | {"NO_COLOR": "1", "DVC_NO_ANALYTICS": "1"} | dict(more or {})


def start(
    project: Path, *words: str, more: Mapping[str, str] | None = None, log: Path
) -> "subprocess.Popen[bytes]":
    """A genarm command in a process group of its own; what it prints goes to `log`."""
    command = [str(Path(sys.executable).parent / "genarm"), *words]
    with log.open("wb") as file:
        return subprocess.Popen(
            command, cwd=project, env=environment(project, more), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip


def finish(process: "subprocess.Popen[bytes]", log: Path, seconds: float, began: float) -> Ended:
    """Wait for a command that was started; what does not end in time is stopped with its children."""
    try:
        code: int | None = process.wait(max(0.0, began + seconds - time.monotonic()))
    except subprocess.TimeoutExpired:
        code = None
        kill_tree(process.pid)
        process.wait()
    return Ended(code, log.read_text(errors="replace"), time.monotonic() - began)


def genarm(
    project: Path, *words: str, seconds: float = COMMAND_SECONDS, more: Mapping[str, str] | None = None
) -> Ended:
    """Run a genarm command to its end; one that meets the locks of a process that is ending is repeated."""
    log = project.parent / f"{project.name}.log"
    began = time.monotonic()
    while True:
        ended = finish(start(project, *words, more=more, log=log), log, seconds, began)
        if ended.code != BUSY or time.monotonic() - began > seconds / 2:
            return ended
        time.sleep(0.5)


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and all that it started, in whatever group: as if the machine had crashed."""
    import psutil

    try:
        parent = psutil.Process(pid)
        every = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in every:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def run(folder: Path, *command: str) -> str:
    """A command that is no part of what is tried; raises where it fails."""
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} in {folder}:\n{done.stdout}{done.stderr}")
    return done.stdout


def git(folder: Path, *words: str) -> str:
    return run(folder, "git", *words)


def read(path: Path) -> Any:
    return json.loads(path.read_text())

"""Several processes train as one: the same curves, one writer, an end at once where a process is lost."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from toy_params import dimension

from genarm.config import TrainConfig
from genarm.errors import TrainingError
from genarm.pipeline.project import Project
from genarm.pipeline.train_process import train
from genarm.system.files import write_rows
from genarm.system.layout import Layout
from genarm.training.launch import config_file
from genarm.types import Message, PreferencePair, Prompt

ROOT = Path(__file__).parents[2]


def project(folder: Path, base: Path, pairs: int = 21, **train: object) -> Path:
    """A project with one dimension, its pairs already made."""
    rng = random.Random(0)

    def text() -> str:
        return "".join(rng.choice("abcde ") for _ in range(rng.randint(2, 30)))

    def preferences(n: int) -> list[PreferencePair]:
        return [
            PreferencePair(Prompt((Message("user", text()),)), text() + "!", text() + "?") for _ in range(n)
        ]

    folder.mkdir()
    layout = Layout(folder)
    write_rows(layout.pairs("loud", "train"), preferences(pairs))
    write_rows(layout.pairs("loud", "validation"), preferences(9))
    settings = dict(
        batch_pairs=4,
        batch_tokens=128,
        learning_rate=2e-3,
        evaluate_steps=2,
        accelerate_config="two-cpu-processes",
        lora={"layers": 2, "rank": 2},
    )
    params = {
        "base": {"model": str(base), "dtype": "float32"},
        "dimensions": {"loud": dimension("loud.jsonl", "positive")},
        "train": settings | train,
    }
    (folder / "params.yaml").write_text(json.dumps(params))
    return folder


def curves(root: Path) -> list[dict[str, str]]:
    with Layout(root).train_curves("loud").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GENARM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("objective", ["arm", "dpo"])
def test_two_processes_train_as_one(toy, tmp_path, monkeypatch, objective):
    """21 pairs in steps of 4: the last step is one pair, which one process has and the other has not.

    What dpo subtracts is the same to the bit, however many processes compute it.
    """
    one = project(tmp_path / "one", toy.folder, launcher="python", objective=objective)
    two = project(
        *(tmp_path / "two", toy.folder),
        launcher="accelerate",
        gradient_checkpointing=objective == "arm",
        objective=objective,
    )
    starts = []
    for root in (one, two):
        monkeypatch.setenv("GENARM_CACHE", str(root / "cache"))
        train(Project(root), "loud")
        starts.append({f.name: f.read_bytes() for f in (root / "cache").glob("start/*.json")})
    assert_the_same(one, two)
    assert starts[0] == starts[1] and len(starts[0]) == (2 if objective == "dpo" else 0)


def assert_the_same(one: Path, two: Path) -> None:
    """Curves, and what was written."""
    a, b = curves(one), curves(two)
    assert [row["step"] for row in a] == [row["step"] for row in b]
    assert sum(bool(row["loss"]) for row in a) == 6
    assert max(abs(float(row["loss"]) - float(a[1]["loss"])) for row in a if row["loss"]) > 0.005
    for before, after in zip(a, b, strict=True):
        for name, value in before.items():
            assert bool(value) == bool(after[name])
            if value:
                assert float(after[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-4), name
        for name in ("loss", "eval/loss"):
            if before[name]:
                assert float(after[name]) == pytest.approx(float(before[name]), abs=1e-5)
    assert sorted(p.name for p in Layout(two).arm("loud").iterdir()) == sorted(
        p.name for p in Layout(one).arm("loud").iterdir()
    )


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("recomputed", [False, True])
def test_weights_sharded_over_two_processes_train_as_one_and_go_on_from_a_checkpoint(
    toy, tmp_path, recomputed
):
    objective = "dpo" if recomputed else "arm"
    one = project(tmp_path / "one", toy.folder, launcher="python", objective=objective)
    two = project(
        *(tmp_path / "two", toy.folder),
        launcher="python",
        gradient_checkpointing=recomputed,
        objective=objective,
    )
    file = config_file(two, TrainConfig(accelerate_config="fsdp2"))
    settings = YAML(typ="safe").load(file.read_text())["fsdp_config"]
    environment = {**os.environ, "ACCELERATE_USE_FSDP": "true", "ACCELERATE_USE_CPU": "true"}
    environment |= {name.upper(): str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += [str(ROOT / "tests" / "training" / "sharded_worker.py"), str(two)]
    for stop, words in (["3"], "was stopped at step 3 of 6"), ([], "sharded"):
        done = subprocess.run([*command, *stop], env=environment, text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert words in done.stdout and done.stdout.count("sharded") == 2
    train(Project(one), "loud")
    assert_the_same(one, two)


def start(root: Path) -> "subprocess.Popen[str]":
    command = [str(Path(sys.executable).parent / "genarm"), "train", "loud"]
    return subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)


def until_a_checkpoint(root: Path, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 90
    while not list(Layout(root).checkpoints("loud").glob("*/checkpoint-*/complete.json")):
        assert process.poll() is None and time.monotonic() < end, process.stderr.read()
        time.sleep(0.1)


def process_of_rank(root: Path, rank: int) -> int:
    """The process of that number which trains in this project."""
    for there in Path("/proc").glob("[0-9]*"):
        try:
            variables = (there / "environ").read_bytes().split(b"\0")
            here = Path(os.readlink(there / "cwd")) == root
        except OSError:
            continue
        if (
            here
            and f"RANK={rank}".encode() in variables
            and any(v.startswith(b"GENARM_TRAINING=") for v in variables)
        ):
            return int(there.name)
    raise AssertionError(f"no process {rank}")


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_one_of_two_processes_killed_ends_the_run_with_its_name_and_the_next_goes_on(toy, tmp_path):
    root = project(
        tmp_path / "two", toy.folder, pairs=400, launcher="accelerate", epochs=5, checkpoint_minutes=0.005
    )
    process = start(root)
    until_a_checkpoint(root, process)
    os.kill(process_of_rank(root, 1), signal.SIGKILL)
    begun = time.monotonic()
    _, shown = process.communicate(timeout=60)
    assert time.monotonic() - begun < 20
    assert process.returncode == 1
    assert "process 1 was ended by SIGKILL" in shown
    assert not Layout(root).arm("loud").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_a_signal_stops_both_with_a_checkpoint_from_which_one_alone_goes_on(toy, tmp_path):
    long = dict(pairs=200, epochs=3, checkpoint_minutes=0.005)
    straight = project(tmp_path / "one", toy.folder, launcher="python", **long)
    worker = threading.Thread(target=train, args=(Project(straight), "loud"))
    root = project(tmp_path / "two", toy.folder, launcher="accelerate", **long)
    process = start(root)
    until_a_checkpoint(root, process)
    process.send_signal(signal.SIGTERM)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 1 and "was stopped at step" in shown and "run the same command" in shown
    params = json.loads((root / "params.yaml").read_text())
    params["train"]["launcher"] = "python"
    (root / "params.yaml").write_text(json.dumps(params))
    worker.start()
    worker.join()
    train(Project(root), "loud")
    a, b = ([float(row["loss"]) for row in curves(at) if row["loss"]] for at in (straight, root))
    assert len(a) == 150
    assert b == pytest.approx(a, abs=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_an_error_of_one_process_is_the_error_of_the_run(toy, tmp_path):
    root = project(tmp_path / "two", toy.folder, launcher="accelerate", learning_rate=1e30, epochs=3)
    with pytest.raises(TrainingError, match="is not finite at step"):
        train(Project(root), "loud")

"""The whole pipeline on a toy, through real DVC, MLflow and Prefect, in a clone of this repository."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from toys import byte_tokenizer, toy_model

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]  # one project, one first run

SCORER = '''
def vowels(text: str) -> float:
    """Share of the letter a among letters and digits."""
    return text.count("a") / max(1, len(text))


def digits(text: str) -> float:
    return sum(c.isdigit() for c in text) / max(1, len(text))
'''


def toy_rows(good: str, bad: str) -> list[dict[str, object]]:
    """Sixty prompts with one pair each: the chosen response repeats `good`, the rejected one `bad`."""
    rng = random.Random(good)
    rows = []
    for i in range(60):
        prompt = [{"role": "user", "content": f"say {i}"}]
        length = rng.randint(4, 8)
        rows.append({"prompt": prompt, "chosen": good * length, "rejected": bad * length})
    return rows


def toy_params(base: Path) -> dict[str, object]:
    lora = {"layers": 2, "rank": 4, "alpha": 8}
    train = {"beta": 0.5, "learning_rate": 0.02, "epochs": 8, "batch_pairs": 8, "lora": lora}
    return {
        "base": {"model": str(base), "dtype": "float32"},
        "dimensions": ["vowels", "digits"],
        "pairs": {
            "sources": {"vowels": {"files": "vowels.jsonl"}, "digits": {"files": "digits.jsonl"}},
            "validation": 0.1,
            "evaluation": 0.4,
        },
        "train": {"default": train, "vowels": {}, "digits": {}},
        "respond": {
            "weights": {"vowels": 20.0, "digits": 20.0},  # a few steps move a toy by little: 0.6% becomes 80%
            "prompts": 40,
            "sampling": {"max_new_tokens": 12, "batch_size": 40},
        },
        "judge": {"vowels": {"scorer": "toy_scorers:vowels"}, "digits": {"scorer": "toy_scorers:digits"}},
        # a toy's text is noise, so only its own dimension is held to anything
        "decide": {"alpha": 0.05, "min_gain": 0.01, "margin": 0.49, "max_health_ratio": 1000.0},
    }


def write_params(project: Path, params: dict[str, object]) -> None:
    with (project / "params.yaml").open("w") as file:
        YAML().dump(params, file)


def environment(project: Path) -> dict[str, str]:
    """A shell of its own: nothing of this process's servers or of the user's settings."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "DVC_", "GENARM_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}


def genarm(project: Path, *words: str, ok: bool = True) -> str:
    done = subprocess.run(
        ["genarm", *words],
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode == 0) is ok, done.stdout[-6000:]
    return done.stdout


def git(project: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=project, check=True, capture_output=True, text=True).stdout


def adapters(project: Path) -> dict[str, str]:
    return {
        path.parent.name: json.loads(path.read_text())["adapter_sha256"]
        for path in project.glob("artifacts/arms/*/arm.json")
    }


def versions(project: Path) -> list[dict[str, object]]:
    return json.loads(genarm(project, "registry", "list", "--json"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A base that has no opinion yet, so that a few pairs move it wherever its text leads."""
    folder = tmp_path_factory.mktemp("base")
    toy_model(layers=2, initializer_range=0.02).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def project(base, tmp_path_factory):
    """A clone whose seed, base and parameters are the toy's, committed as a user would."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder))
    for old in (folder / "seed").iterdir():
        old.unlink()
    for name, good, bad in (("vowels", "a", "q"), ("digits", "7", "x")):
        lines = [json.dumps(row) for row in toy_rows(good, bad)]
        (folder / "seed" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "toy_scorers.py").write_text(SCORER)
    write_params(folder, toy_params(base))
    for name in ("champions.json", "starts.json"):
        (folder / "mlflow" / name).write_text('{"digits": null, "vowels": null}\n')
    (folder / "dvc.lock").unlink(missing_ok=True)
    subprocess.run(
        ["dvc", "repro", "data.dvc"], cwd=folder, env=environment(folder), check=True, capture_output=True
    )
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "toy")
    return folder


@pytest.fixture(scope="module")
def first_run(project):
    return genarm(project, "run")


def test_from_data_to_a_promoted_champion(project, first_run):
    decisions = json.loads((project / "artifacts/decisions.json").read_text())
    assert {d: v["outcome"] for d, v in decisions.items()} == {"vowels": "promote", "digits": "promote"}
    champions = json.loads((project / "mlflow/champions.json").read_text())
    assert {d: c["adapter_sha256"] for d, c in champions.items()} == adapters(project)
    assert sorted(v["version"] for v in versions(project)) == [1, 1]
    report = (project / "artifacts/report/report.html").read_text()
    assert "vowels" in report and "promote" in report
    assert "report" in first_run and "artifacts/report/report.html" in first_run
    changed = {line[3:] for line in git(project, "status", "--porcelain").splitlines()}
    assert changed <= {"dvc.lock", "mlflow/champions.json"}


def test_again_nothing_is_done_twice(project, first_run):
    before = adapters(project), (project / "artifacts/responses/base.jsonl").stat().st_mtime_ns
    again = genarm(project, "run")
    assert again.count("already") >= 2 and "respond" not in again
    assert (adapters(project), (project / "artifacts/responses/base.jsonl").stat().st_mtime_ns) == before
    assert len(versions(project)) == 2


def test_one_changed_parameter_concerns_one_dimension(project, first_run, base):
    params = toy_params(base)
    params["train"]["digits"] = {"learning_rate": 0.01}
    write_params(project, params)
    before = adapters(project)
    log = genarm(project, "run")
    after = adapters(project)
    assert after["vowels"] == before["vowels"] and after["digits"] != before["digits"]
    assert "train@digits: ran" in log and "train@vowels" not in log and "respond@vowels" not in log
    decision = json.loads((project / "artifacts/decisions.json").read_text())["digits"]
    assert decision["champion"]["version"] == 1 and decision["reasons"]


def test_killed_anywhere_it_ends_the_same(project, first_run, tmp_path):
    """SIGKILL at several moments of a fresh run; the run after them gives one version a dimension."""
    clone = tmp_path / "project"
    git(project, "clone", "--quiet", "--no-hardlinks", str(project), str(clone))
    rng = random.Random(0)
    for _ in range(3):
        run = subprocess.Popen(
            ["genarm", "run"], cwd=clone, env=environment(clone), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(rng.uniform(8, 40))
        with_children = os.getpgid(run.pid)
        os.killpg(with_children, signal.SIGKILL)
        run.wait()
    genarm(clone, "run")
    reference = tmp_path / "reference"
    git(project, "clone", "--quiet", "--no-hardlinks", str(project), str(reference))
    subprocess.run(
        ["dvc", "repro", "train"], cwd=reference, env=environment(reference), check=True, capture_output=True
    )
    assert adapters(clone) == adapters(reference)
    assert sorted(v["version"] for v in versions(clone)) == [1, 1]
    assert "nothing to mend" in genarm(clone, "registry", "reconcile")


def test_two_runs_at_once_the_second_says_who_is_first(project, first_run):
    from filelock import FileLock

    with FileLock(project / ".cache" / "run.lock"):
        refused = genarm(project, "run", ok=False)
    assert "another run of this project is in progress" in refused


def test_a_misspelt_parameter_stops_the_run_before_it_starts(project, base):
    params = toy_params(base)
    params["decide"]["alfa"] = 0.1
    shutil.copy(project / "params.yaml", project / "params.kept")
    write_params(project, params)
    try:
        assert "did you mean 'alpha'" in genarm(project, "run", ok=False)
    finally:
        (project / "params.kept").rename(project / "params.yaml")

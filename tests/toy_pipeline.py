"""A toy of the whole pipeline: a clone of this repository with data, scorers and parameters of its own."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML
from toys import byte_tokenizer, toy_model

ROOT = Path(__file__).parents[1]

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
    train = {
        "objective": "arm",
        "beta": 0.5,
        "learning_rate": 0.02,
        "epochs": 8,
        "batch_pairs": 8,
        "lora": lora,
    }
    return {
        "base": {"model": str(base), "dtype": "float32"},
        "dimensions": {
            # a few steps move a toy by little: at weight 20, 0.6% becomes 80%
            name: {"data": f"{name}.jsonl", "judge": f"toy_scorers:{name}", "weight": weight, "train": {}}
            for name, weight in (("vowels", "tuned"), ("digits", 20.0))
        },
        "pairs": {"validation": 0.1, "evaluation": 0.4},
        "train": train,
        "tune": {
            "weights": [5.0, 20.0],
            "max_kl": 100.0,
            "max_health_ratio": 1000.0,
            "min_finished_ratio": 0.0,
        },
        "respond": {
            "prompts": 40,
            "guidance": "sum",
            "sampling": {"temperature": 1.0, "max_new_tokens": 12, "batch_size": 40, "top_p": 1.0},
        },
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
    return kept | {"PATH": path, "OMP_NUM_THREADS": "1"}


def genarm(project: Path, *words: str, ok: bool = True, **more: str) -> str:
    done = subprocess.run(
        ["genarm", *words],
        cwd=project,
        env=environment(project) | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode == 0) is ok, done.stdout[-6000:]
    return done.stdout


def git(project: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=project, check=True, capture_output=True, text=True).stdout


def make_base(folder: Path, layers: int = 2) -> None:
    """A base that has no opinion yet, so that a few pairs move it wherever its text leads."""
    toy_model(layers=layers, initializer_range=0.02).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)


def make_project(folder: Path, params: dict[str, object]) -> None:
    """A clone whose seed, base and parameters are the toy's, committed as a user would."""
    git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder))
    for old in (folder / "seed").iterdir():
        old.unlink()
    for name, good, bad in (("vowels", "a", "q"), ("digits", "7", "x")):
        lines = [json.dumps(row) for row in toy_rows(good, bad)]
        (folder / "seed" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "toy_scorers.py").write_text(SCORER)
    stages = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(
        stages.replace("- genarm/judges\n", "- genarm/judges\n        - toy_scorers.py\n")
    )
    write_params(folder, params)
    for name in ("champions.json", "incumbents.json", "starts.json", "looks.json"):
        (folder / "mlflow" / name).write_text('{"digits": null, "vowels": null}\n')
    (folder / "dvc.lock").unlink(missing_ok=True)
    subprocess.run(
        ["dvc", "repro", "data.dvc"], cwd=folder, env=environment(folder), check=True, capture_output=True
    )
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "toy")

"""A toy of an experiment: a project with a base in memory's size, pairs, scorers and an experiment.yaml."""

import json
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from toy_params import dimension
from toy_pipeline import SCORER, environment, git, make_base, toy_rows

TRAIN = {"beta": 0.5, "learning_rate": 0.02, "epochs": 8, "batch_pairs": 8}
TRAIN |= {"lora": {"layers": 2, "rank": 4, "alpha": 8}}


def toy_experiment() -> dict[str, Any]:
    """Three methods and two seeds on one dimension, with a claim."""
    return {
        "title": "A toy",
        "data": {"vowels": "project"},
        "prompts": {"n": 12},
        "sampling": {"max_new_tokens": 8, "batch_size": 16, "top_p": 1.0},
        "judges": {"vowels": {"gold": "toy_scorers:vowels", "held_out": "toy_scorers:digits"}},
        "speed": None,
        "models": {
            "arm": {"trainer": "arm", "dimension": "vowels", "train": TRAIN},
        },
        "methods": {
            "base": {"method": "base"},
            "guided": {"method": "guided", "arms": {"vowels": "arm"}, "weight": 20.0},
            "sharpened": {"method": "sharpened", "weight": 1.0},
        },
        "seeds": [0, 1],
        "over": ["base"],
        "claims": {"subject": "guided", "beats": ["sharpened"]},
    }


def write_experiment(project: Path, values: dict[str, Any], name: str = "toy") -> Path:
    """Write an experiment.yaml."""
    file = project / "experiments" / name / "experiment.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as opened:
        YAML().dump(values, opened)
    return file


def make_project(folder: Path, base: Path) -> None:
    """A project under git and DVC with the base, the pairs and the scorers of the toy."""
    make_base(base)
    (folder / "data").mkdir(parents=True)
    rows = [json.dumps(row) for row in toy_rows("a", "q")]
    (folder / "data" / "vowels.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "toy_scorers.py").write_text(SCORER)
    params = {
        "base": {"model": str(base), "dtype": "float32"},
        "dimensions": {"vowels": dimension("vowels.jsonl", "toy_scorers:vowels")},
        "pairs": {"validation": 0.1, "evaluation": 0.4},
    }
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    git(folder, "init", "--quiet")
    command = ["dvc", "init", "--quiet"]
    subprocess.run(command, cwd=folder, env=environment(folder), check=True, capture_output=True)

"""A toy of an experiment: a project with a base in memory's size, pairs, scorers and an experiment.yaml."""

import json
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from toy_params import dimension
from toy_pipeline import SCORER, environment, git, make_base, toy_rows

MORE_SCORERS = """

def q(text: str) -> float:
    return text.count("q") / max(1, len(text))


def q_count(text: str) -> float:
    return float(text.count("q"))


def words(text: str) -> float:
    return float(len(text.split()))
"""
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


def make_project(folder: Path, base: Path, layers: int = 2) -> None:
    """A project under git and DVC with the base, the pairs and the scorers of the toy."""
    make_base(base, layers)
    (folder / "data").mkdir(parents=True)
    rows = [json.dumps(row) for row in toy_rows("a", "q")]
    (folder / "data" / "vowels.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "toy_scorers.py").write_text(SCORER + MORE_SCORERS)
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


def wide_experiment() -> dict[str, Any]:
    """Every trainer and every method, on two dimensions, with tuning, fronts, time and claims."""
    small = {**TRAIN, "epochs": 1, "max_pairs": 16}
    lora = {"layers": 1, "rank": 2, "alpha": 4}
    rows: dict[str, Any] = {
        "base": {"method": "base"},
        "sharpened": {"method": "sharpened"},
        "guided": {"method": "guided", "arms": {"vowels": "arm"}, "tune": {"weight": [1.0, 5.0]}},
        "both": {"method": "guided", "arms": {"vowels": "arm", "other": "arm-other"}},
        "parm": {"method": "parm", "parm": "parm", "dimensions": ["vowels", "other"]},
        "soup": {"method": "soup", "adapters": {"vowels": "dpo", "other": "dpo-other"}},
        "dpo": {"method": "adapter", "adapter": "dpo"},
        "simpo": {"method": "adapter", "adapter": "simpo", "scale": 0.5},
        "morl": {"method": "adapter", "adapter": "morl"},
        "proxy": {"method": "proxy_tuning", "arm": "weak-arm"},
        "untrained": {"method": "guided", "arms": {"vowels": "weak"}},
        "best": {"method": "best_of_n", "n": 2, "reward": "rm"},
        "likely": {"method": "best_of_n", "n": 2, "arm": "arm", "implicit": True},
        "args": {"method": "args", "reward": "rm", "k": 3, "unit": "deviation", "seeds": "first"},
        "transfer": {
            "method": "transfer_q",
            "reward": "rm",
            "aligned": "dpo",
            "k": 2,
            "rollout": 2,
            "close_turn": True,
            "prompts": 6,
        },
        "cards": {"method": "cards", "reward": "rm", "shortest": 2, "longest": 4},
    }
    for name in ("both", "parm", "soup"):
        rows[name]["front"] = {"share": [0.0, 0.5, 1.0]}
    of = {"dimension": "vowels"}
    return toy_experiment() | {
        "data": {"vowels": "project", "other": {"files": "vowels.jsonl", "relabel": "toy_scorers:q"}},
        "judges": {
            "vowels": {"gold": "toy_scorers:vowels", "held_out": "toy_scorers:words"},
            "other": {"gold": "toy_scorers:q", "held_out": "toy_scorers:q_count"},
        },
        "tuning": {"prompts": 3, "max_health_ratio": 100.0},
        "speed": {"tokens": 4, "batches": [1, 2]},
        "models": {
            "arm": {"trainer": "arm", **of, "train": TRAIN},
            "arm-other": {"trainer": "arm", "dimension": "other", "train": small},
            "dpo": {"trainer": "dpo", **of, "train": small},
            "dpo-other": {"trainer": "dpo", "dimension": "other", "train": small},
            "simpo": {"trainer": "simpo", **of, "train": {"max_pairs": 8, "lora": lora}},
            "rm": {"trainer": "reward", **of, "prefixes": True, "train": {"layers": 1, "most": 16}},
            "morl": {
                "trainer": "rloo",
                **of,
                "rewards": {"vowels": "rm", "other": "rm"},
                "weights": {"vowels": 0.5, "other": 0.5},
                "train": {
                    "steps": 1,
                    "step_prompts": 2,
                    "max_new_tokens": 4,
                    "standardise_on": 8,
                    "lora": lora,
                },
            },
            "parm": {"trainer": "parm", "dimensions": ["vowels", "other"], "train": small},
            "weak": {"trainer": "shallow", **of, "train": {"layers": 4, "steps": 2, "batch_tokens": 64}},
            "weak-arm": {"trainer": "arm", "on": "weak", **of, "train": small},
        },
        "methods": rows,
        "seeds": [0],
        "over": ["base", "dpo"],
        "claims": {
            "subject": "guided",
            "beats": ["args", "cards"],
            "equivalent": {"to": "dpo"},
            "faster": {"transfer": 2.0},
            "recovers": {"floor": "base", "ceiling": "dpo", "control": "untrained"},
        },
    }

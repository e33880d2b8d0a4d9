"""A project with pairs set aside for a judge: real files, a toy base, a store of its own."""

import json
import random
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from toys import Toy

from genarm.pipeline.project import Project
from genarm.pipeline.stages.pairs import pairs

SETTINGS: dict[str, Any] = {
    "layers": 2,
    "learning_rate": 5e-3,
    "epochs": 4,
    "batch_pairs": 8,
    "max_tokens": 60,
}


def judge_project(root: Path, toy: Toy, **changes: Any) -> Project:
    """Prompts of which a response in a's is chosen over one in q's, four in ten of them set aside."""
    rng = random.Random(0)
    rows = []
    for i in range(120):
        good, bad = (letter * rng.randint(4, 8) for letter in "aq")
        rows.append({"prompt": f"say {i}", "chosen": good, "rejected": bad})
    (root / "data").mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "data" / "vowels.jsonl").write_text(lines, encoding="utf-8")
    (root / "mlflow").mkdir()
    write_params(root, toy, **changes)
    project = Project(root)
    pairs(project, "vowels")
    return project


def write_params(
    root: Path, toy: Toy, *, judge: Any = "length", shares: Any = None, dtype: str = "float32"
) -> Project:
    params = {
        "base": {"model": str(toy.folder), "dtype": dtype},
        "dimensions": {"vowels": {"data": "vowels.jsonl", "judge": judge, "weight": 1.0}},
        "pairs": {"validation": 0.2, "evaluation": 0.2, "judge": 0.4} | (shares or {}),
    }
    with (root / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(params, file)
    return Project(root)

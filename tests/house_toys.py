"""A project with commits, data, versions, decisions and runs on real git, DVC and MLflow, for gc and lineage.

Adapters are a few bytes: the registry stores them without loading them.
"""

import dataclasses
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dvc_project import dvc, git
from toy_params import dimension

from genarm import registry
from genarm.data.dvc import data_version, set_data
from genarm.models.arm import CONFIG, WEIGHTS, adapter_hash, write_card
from genarm.pipeline.project import Project
from genarm.registry import Registry
from genarm.system.files import write_json
from genarm.types import ArmCard, Champion, Decision

DIMENSION = "kind"
LATER = datetime.now(UTC) + timedelta(days=90)  # when all of it is old
METRICS = {"accuracy_after": 0.7}
PARAMS = {"base": {"model": "nowhere"}, "dimensions": {DIMENSION: dimension("a.jsonl")}}


def new_project(root: Path) -> Project:
    """An empty project under git and DVC."""
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "t")
    git(root, "config", "user.email", "t@example.org")
    dvc(root, "init", "--quiet")
    (root / ".gitignore").write_text(
        "/artifacts/\n/data\n/.cache/\n/mlflow/*.db*\n/mlflow/*.lock\n/mlflow/store/\n"
    )
    write_json(root / "params.yaml", PARAMS)
    return Project(root)


def new_data(project: Project, text: str) -> str:
    """A data version of one row, committed; its md5."""
    source = project.root.parent / "from" / "a.jsonl"
    source.parent.mkdir(exist_ok=True)
    source.write_text(json.dumps({"prompt": text, "chosen": "yes", "rejected": "no"}) + "\n")
    set_data(project.root, str(source))
    git(project.root, "add", "--all")
    git(project.root, "commit", "--quiet", "-m", f"data {text}")
    version = data_version(project.root)
    assert version
    return version


def arm(project: Project, name: str, warm_start: Champion | None = None) -> Path:
    """The folder of an ARM whose weights are its name, made at the commit and data of now."""
    folder = project.root.parent / "arms" / name
    folder.mkdir(parents=True)
    write_json(folder / CONFIG, {"r": 1})
    (folder / WEIGHTS).write_bytes(name.encode() * 1000)
    card = ArmCard(
        dimension=DIMENSION,
        model_id="toy",
        model_revision=None,
        model_weights_sha256="m" * 64,
        guides_id="toy",
        guides_revision=None,
        tokenizer_sha256="t" * 64,
        adapter_sha256="",
        beta=0.1,
        weight=1.0,
        pairs_sha256="p" * 64,
        data_md5=data_version(project.root),
        git_commit=git(project.root, "rev-parse", "HEAD"),
        warm_start=warm_start,
    )
    write_card(folder, card)
    return folder


def register(store: Registry, folder: Path) -> int:
    return store.register(
        DIMENSION, folder, metrics=METRICS, lineage={"flow run": "f-1", "git dirty": "false"}
    )


def decide(store: Registry, folder: Path, outcome: str = "promote") -> str:
    """Record a decision, and carry it out where it is to promote; the id of its run."""
    champion = store.champions([DIMENSION])[DIMENSION]
    made = Decision(DIMENSION, outcome, ["measured"], adapter_hash(folder), champion)  # type: ignore[arg-type]
    run = store.record_decision(made, actor="test")
    if outcome == "promote":
        store.promote(DIMENSION, made, smoke_test=lambda place: None, actor="test")
    return run


def standing(store: Registry) -> dict[str, int]:
    return {alias: row["version"] for row in store.list([DIMENSION]) for alias in row["aliases"]}


def age(path: Path, days: float) -> Path:
    """Let a file or all of a folder look as if it had been changed so many days ago."""
    then = datetime.now(UTC).timestamp() - days * 86400
    for part in (path, *path.rglob("*")):
        os.utime(part, (then, then))
    return path


def champion(store: Registry) -> Champion:
    found = store.champions([DIMENSION])[DIMENSION]
    assert found is not None
    return dataclasses.replace(found)


def connect(project: Project) -> Registry:
    return registry.connect(project.root)

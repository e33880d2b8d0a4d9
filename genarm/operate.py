"""What an operator does to the registry by hand; each keeps `mlflow/champions.json` in step."""

from pathlib import Path
from typing import Any

from genarm import registry, stages
from genarm.config import load_params
from genarm.errors import RegistryError
from genarm.files import sha256
from genarm.layout import Layout


def versions(root: Path) -> list[dict[str, Any]]:
    """Every version of every dimension."""
    return registry.connect(root).list(load_params(root / "params.yaml").dimensions)


def promote(root: Path, dimension: str, reason: str | None) -> str:
    """Carry the last decision out; against a decision that is not `promote` only with a reason."""
    layout = Layout(root)
    decision = stages.read_decisions(root).get(load_params(layout.params).known(dimension))
    if decision is None:
        raise RegistryError(f"nothing was decided on {dimension!r} yet", hint="genarm run --no-promote")
    store = registry.connect(root)
    version = store.promote(
        dimension,
        decision,
        smoke_test=lambda folder: stages.smoke_test(root, dimension, folder),
        actor="operator",
        report_sha256=sha256(layout.report / "report.json"),
        force=reason or "",
    )
    _snapshot(store, root)
    return f"{dimension}: version {version} is the champion"


def rollback(root: Path, dimension: str, reason: str, to: int | None) -> str:
    """Move the champion alias back and block the version that held it."""
    store = registry.connect(root)
    version = store.rollback(
        load_params(root / "params.yaml").known(dimension), reason, to=to, actor="operator"
    )
    _snapshot(store, root)
    return f"{dimension}: " + (
        f"version {version} is the champion again" if version else "back to the base model"
    )


def reconcile(root: Path) -> list[str]:
    """Finish or undo what a crash left half done."""
    store = registry.connect(root)
    done = list(store.reconcile(load_params(root / "params.yaml").dimensions))
    _snapshot(store, root)
    return done or ["nothing to mend"]


def _snapshot(store: "registry.Registry", root: Path) -> None:
    store.snapshot(Layout(root).champions, load_params(root / "params.yaml").dimensions)

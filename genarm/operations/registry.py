"""What an operator does to the registry by hand; each keeps `mlflow/champions.json` in step."""

from pathlib import Path
from typing import Any

from genarm import models, registry
from genarm.config import load_params
from genarm.data.formats import Refused, parse
from genarm.data.rows import read_file
from genarm.errors import RegistryError
from genarm.pipeline import stages
from genarm.pipeline import warm_start as starts
from genarm.system.files import sha256
from genarm.system.layout import Layout


def versions(root: Path) -> list[dict[str, Any]]:
    """Every version of every dimension."""
    return registry.connect(root).list(load_params(root / "params.yaml").dimensions)


def version(root: Path, dimension: str, wanted: int | str) -> dict[str, Any]:
    """All that is known of one version, by number or alias."""
    known = load_params(root / "params.yaml").known(dimension)
    return registry.connect(root).show(known, wanted)


def promote(root: Path, dimension: str, version: int | None, force: str) -> str:
    """Carry the last decision out, or promote a version of one's choice; `force` is the reason for that."""
    load_params(root / "params.yaml").known(dimension)
    layout, store = Layout(root), registry.connect(root)
    if version is not None:
        if not force:
            raise RegistryError(
                f"version {version} of {dimension} is not what was decided on",
                hint="give a reason: --force REASON",
            )
        decision = store.manual_decision(dimension, version, force)
    elif layout.decisions.is_file() and dimension in (decisions := stages.read_decisions(root)):
        decision = decisions[dimension]
    else:
        raise RegistryError(f"nothing was decided on {dimension!r} yet", hint="genarm run --no-promote")
    report = layout.report / "report.json"
    number = store.promote(
        dimension,
        decision,
        smoke_test=lambda folder: stages.smoke_test(root, dimension, folder),
        actor="operator",
        report_sha256=sha256(report) if report.is_file() else "",
        force=force,
    )
    _snapshot(store, root)
    return f"{dimension}: version {number} is the champion"


def drift(root: Path) -> list[str]:
    """Where the snapshot and the aliases differ."""
    layout = Layout(root)
    return registry.connect(root).drift(layout.champions, load_params(layout.params).dimensions)


def rollback(root: Path, dimension: str, reason: str, to: int | None) -> str:
    """Move the champion alias back and block the version that held it."""
    load_params(root / "params.yaml").known(dimension)
    store = registry.connect(root)
    version = store.rollback(dimension, reason, to=to, actor="operator")
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
    starts.note_starts(root)


def accuracy(root: Path, dimension: str, file: Path) -> dict[str, float]:
    """How often the trained ARM prefers the chosen response, on any file of preference pairs.

    `refused` rows are no pairs of any known format; over-long pairs are an error, since none is ever cut.
    """
    from genarm.training.evaluate import evaluate_arm

    params, layout = load_params(root / "params.yaml"), Layout(root)
    preferred = params.pairs.sources[params.known(dimension)].preferred
    pairs, refused = [], 0
    for row in read_file(file, file.name):
        try:
            pairs.append(parse(row.value, preferred=preferred))
        except Refused:
            refused += 1
    base = models.resolve(params.base.model, params.base.revision, params.base.chat_template)
    found = evaluate_arm(base, layout.arm(dimension), pairs, dtype=params.base.dtype)
    return found | {"refused": float(refused)}

"""What an operator does to the registry by hand; each change keeps `mlflow/*.json` in step."""

from functools import partial
from typing import Any

from genarm import registry
from genarm.errors import RegistryError
from genarm.pipeline.in_step import keep_in_step
from genarm.pipeline.measured import measured
from genarm.pipeline.project import Project
from genarm.system.files import sha256
from genarm.system.process import OnLine, ignore


def versions(project: Project) -> list[dict[str, Any]]:
    """Every version of every dimension."""
    return registry.connect(project.root).list(list(project.params.dimensions))


def version(project: Project, dimension: str, wanted: int | str = "") -> dict[str, Any]:
    """All that is known of one version, by number or alias.

    By default it is the champion or, while there is none, the newest one. Raises RegistryError where there is
    no such version.
    """
    known, store = project.params.known(dimension), registry.connect(project.root)
    stored = [] if wanted else store.list([known])
    in_use = [row for row in stored if "champion" in row["aliases"]]
    newest = sorted(stored, key=lambda row: -row["version"])
    return store.show(known, wanted or next((row["version"] for row in [*in_use, *newest]), "champion"))


def promote(project: Project, dimension: str, version: int | None, force: str) -> str:
    """Carry out the last decision, or promote a version of one's choice; `force` is the reason for that.

    Returns what was done, a sentence a line: first what an earlier crash had left. Raises RegistryError where
    nothing was decided on the dimension, or a version is named without a reason; PipelineError where the
    decision, or what it was made of, is damaged.
    """
    from genarm.pipeline.smoke_test import smoke_test
    from genarm.pipeline.verify import verify_decision

    project.params.known(dimension)
    layout, store = project.layout, registry.connect(project.root)
    said: list[str] = []
    numbers: dict[str, float] = {}
    if version is not None:
        if not force:
            raise RegistryError(
                f"version {version} of {dimension} is not what was decided on",
                hint="give a reason: --force REASON",
            )
        decision = store.manual_decision(dimension, version, force, say=said.append)
    elif layout.decisions.is_file() and dimension in (decisions := project.decisions()):
        verify_decision(project, made=True)
        decision, numbers = decisions[dimension], measured(project, dimension)
    else:
        raise RegistryError(f"nothing was decided on {dimension!r} yet", hint="genarm run --no-promote")
    report = layout.report / "report.json"
    number = store.promote(
        dimension,
        decision,
        smoke_test=partial(smoke_test, project, dimension),
        actor="operator",
        report_sha256=sha256(report) if report.is_file() else "",
        force=force,
        metrics=numbers,
        say=said.append,
    )
    keep_in_step(project, store)
    return "\n".join([*said, f"{dimension}: version {number} is the champion"])


def drift(project: Project) -> list[str]:
    """Where the snapshot and the aliases differ, a sentence each."""
    return registry.connect(project.root).drift(project.layout.champions, list(project.params.dimensions))


def rollback(project: Project, dimension: str, reason: str, to: int | None, say: OnLine = ignore) -> None:
    """Move the champion alias back and block the version that held it; `say` gets what was done, in words.

    A rollback that was interrupted and is asked for again is completed, if it is not yet, and not repeated.
    """
    project.params.known(dimension)
    store = registry.connect(project.root)

    def tell(line: str) -> None:
        keep_in_step(project, store)
        say(line)

    store.rollback(dimension, reason, to=to, actor="operator", say=say, tell=tell)


def reconcile(project: Project) -> list[str]:
    """Finish or undo what a crash left half done; returns a sentence on each change."""
    store = registry.connect(project.root)
    done = list(store.reconcile(list(project.params.dimensions)))
    keep_in_step(project, store)
    return done or ["nothing to mend"]

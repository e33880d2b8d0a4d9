"""The Markdown pages that MLflow shows of models, decisions, rollbacks and leases, and links between them.

That of a version is in `version_page`.
"""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from genarm.registry.tags import model_name
from genarm.types import Decision


def model_page(dimension: str) -> str:
    """The page of `genarm-<dimension>`: what it holds and how to use it."""
    return render("model", dimension=dimension, name=model_name(dimension))


def training_page(dimension: str) -> str:
    """The page of the run of an ARM that was registered."""
    return render("training", dimension=dimension, name=model_name(dimension))


def compared_page(dimension: str, source: str) -> str:
    """The page of the run of a version that a command took from an experiment."""
    return render("compared", dimension=dimension, name=model_name(dimension), source=source)


def decision_page(decision: Decision, challenger: int, train_link: str) -> str:
    """The page of one decision on a version, 0 where it is not registered, and the link to its training."""
    dimension = decision.dimension
    return render(
        "decision",
        decision=decision,
        challenger=challenger,
        challenger_link=version_link(dimension, challenger),
        champion_link=decision.champion and version_link(dimension, decision.champion.version),
        train_link=train_link,
    )


def rollback_page(dimension: str, demoted: int, target: int, reason: str) -> str:
    """The page of one rollback, from the version `demoted` to `target`, 0 being the base model."""
    return render(
        "rollback",
        dimension=dimension,
        demoted=demoted,
        demoted_link=version_link(dimension, demoted),
        target=target,
        target_link=version_link(dimension, target),
        reason=reason,
    )


def version_link(dimension: str, number: int) -> str:
    """Where MLflow shows a version, from any of its pages."""
    return f"#/models/{model_name(dimension)}/versions/{number}"


def run_link(experiment: str, run: str) -> str:
    """Where MLflow shows a run, from any of its pages."""
    return f"#/experiments/{experiment}/runs/{run}"


def lease_page() -> str:
    """The page of a registered model that is a lock and no model."""
    return render("lease")


def render(page: str, **values: object) -> str:
    """A page from its template."""
    return _environment().get_template(f"{page}.md.jinja").render(values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

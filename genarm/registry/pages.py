"""The Markdown pages that MLflow shows: of models, versions, decisions, rollbacks and leases."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from genarm.registry.tags import label, model_name
from genarm.types import ArmCard, Decision


def model_page(dimension: str) -> str:
    """The page of `genarm-<dimension>`: what it holds and how to use it."""
    return _render("model", dimension=dimension, name=model_name(dimension))


def version_page(card: ArmCard, metrics: Mapping[str, float], lineage: Mapping[str, str]) -> str:
    """The page of one version: what it is, how well it learned, where it comes from.

    `lineage` maps tags to values; those without a value are left out.
    """
    shown = {label(tag): value for tag, value in lineage.items() if value}
    page = _render("version", card=card, metrics=dict(sorted(metrics.items())), lineage=shown)
    return page.removesuffix("\n")


def decision_page(decision: Decision) -> str:
    """The page of one decision."""
    return _render("decision", decision=decision)


def rollback_page(dimension: str, demoted: int, target: int, reason: str) -> str:
    """The page of one rollback, from the version `demoted` to `target`, 0 being the base model."""
    return _render("rollback", dimension=dimension, demoted=demoted, target=target, reason=reason)


def lease_page() -> str:
    """The page of a registered model that is a lock and no model."""
    return _render("lease")


def _render(page: str, **values: object) -> str:
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

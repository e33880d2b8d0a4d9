"""Where a report leads: the commit, the data, the pages of MLflow and Prefect, where they are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genarm.report.numbers import short


@dataclass(frozen=True, slots=True)
class Link:
    """A fact of the lineage; `address` is empty where no page of it is known."""

    label: str
    text: str
    address: str


def links(lineage: Mapping[str, str], dimensions: Sequence[str]) -> list[Link]:
    """The facts of the lineage that are known, in the order of the sentence: commit, data, version, run."""
    found = []
    if commit := lineage.get("git commit"):
        uncommitted = ", with uncommitted changes" if lineage.get("git dirty") == "true" else ""
        found.append(_link("commit", f"{short(commit)}{uncommitted}", lineage.get("git page", "")))
    if data := lineage.get("data md5"):
        found.append(_link("data", short(data), ""))
    mlflow, prefect = lineage.get("mlflow server", ""), lineage.get("prefect server", "")
    for dimension in dimensions:
        if version := lineage.get(f"version of {dimension}"):
            page = f"{mlflow}/#/models/genarm-{dimension}/versions/{version}" if mlflow else ""
            found.append(_link("MLflow", f"version {version} of {dimension}", page))
    if run := lineage.get("flow run"):
        found.append(_link("Prefect run", run[:8], f"{prefect}/runs/flow-run/{run}" if prefect else ""))
    return found


def _link(label: str, text: str, address: str) -> Link:
    # Lineage is shown as it is handed in, but only a page of the web becomes a link.
    return Link(label, text, address if address.startswith(("http://", "https://")) else "")

"""The message of a commit of results: what was decided and why, and which versions are in use since."""

import json
from collections.abc import Mapping, Sequence

from genarm.data.dvc_lock import LOCK, named_version
from genarm.errors import DataError
from genarm.pipeline.project import Project
from genarm.pipeline.publish.git import Git
from genarm.pipeline.publish.results import differing
from genarm.report.summary import OUTCOMES
from genarm.system.counted import counted
from genarm.system.files import read_value
from genarm.system.redact import redact
from genarm.types import Champion, Decision

WIDEST = 72  # characters of a first line that git's lists and hosts show whole
Champions = Mapping[str, Champion | None]


def message_of(project: Project, decisions: Sequence[Decision] | None = None, flow_run: str = "") -> str:
    """The message for the results as they are now.

    Without decisions, those of `artifacts/decisions.json` are told if the stages have run since HEAD. Whether
    a decision was carried out is read from the champions, which a rollback may have changed again.
    """
    git = Git(project.root)
    if decisions is None:
        decisions = _last_decisions(project) if differing(git, "HEAD", [LOCK]) else []
    before, now = _committed_champions(git), project.champions(missing_ok=True)
    words: dict[str, str] = {}
    for decision in decisions:
        carried_out = decision.outcome == "promote" and _is_in_use(decision, now)
        words[decision.dimension] = "promoted" if carried_out else OUTCOMES[decision.outcome]
    moved = [d for d in sorted(now) if now[d] != before.get(d)]
    parts = [f"{d} {word}" for d, word in words.items()]
    parts += [f"{d}: {_named(now[d])} in use" for d in moved if words.get(d) != "promoted"]
    lines = [_first_line(parts, words), ""]
    for decision in decisions:
        title = f"{decision.dimension} {words[decision.dimension]}:"
        lines += [title, *(f"- {reason}" for reason in decision.reasons), ""]
    lines += [f"{d}: {_named(now[d])} is in use, before it {_named(before.get(d))}" for d in moved]
    lines += [f"Data version {named_version(project.root) or 'none'}"]
    lines += [f"Flow run {flow_run}"] if flow_run else []
    return redact("\n".join(lines))


def _first_line(parts: Sequence[str], words: Mapping[str, str]) -> str:
    whole = ", ".join(parts) or "Results of the pipeline"
    if len(whole) <= WIDEST or not words:
        return whole if len(whole) <= WIDEST else f"{counted(len(parts), 'champion')} changed"
    told = list(words.values())
    return "Dimensions: " + ", ".join(f"{told.count(word)} {word}" for word in dict.fromkeys(told))


def _last_decisions(project: Project) -> list[Decision]:
    try:
        return list(project.decisions().values())
    except DataError:  # none was made here, or it is of another version
        return []


def _committed_champions(git: Git) -> Champions:
    try:
        values = json.loads(git.ask("show", "HEAD:./mlflow/champions.json"))
        return read_value(values, dict[str, Champion | None], "mlflow/champions.json of HEAD")
    except (ValueError, DataError):  # none was committed yet
        return {}


def _is_in_use(decision: Decision, now: Champions) -> bool:
    champion = now.get(decision.dimension)
    return champion is not None and champion.adapter_sha256 == decision.challenger_sha256


def _named(champion: Champion | None) -> str:
    return f"version {champion.version}" if champion else "the base model"

"""Challengers in service: a run of the experiment `genarm/canary` for each, with all that was seen of it.

Whoever writes has files and a tag of its own in that run, named by an id of its own, so that several servers
and judges need no lock; what counts is all of them together. The run outlives every process: it is found
again by the hash of both sides, and has an end once, which nobody changes. Its rule is noted at the beginning
and holds to the end, since a test whose level changes while it is looked at has none.
"""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.errors import RegistryError
from genarm.registry import tags
from genarm.registry.record import decision_note
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import Version, aliases, iso, point, set_tag, versions
from genarm.system.files import read_rows, read_value, to_json
from genarm.types import CanaryOutcome, Champion, Decision, Responses, Trial

if TYPE_CHECKING:
    from mlflow.entities import Run

OUTCOMES = "outcomes"  # the folder of artifacts, with a file for each writer
ENDED = "FINISHED"


@dataclass(frozen=True, slots=True)
class Canary:
    """A trial on record. `outcome` and `reason` are empty while it goes on."""

    trial: Trial
    run: str
    rule: str  # as JSON
    since: str
    outcome: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The decision that ends a trial, and what was measured for it."""

    decision: Decision
    metrics: Mapping[str, float]


@translates_errors
def to_try(store: Store, dimension: str) -> Trial | None:
    """The version on trial beside the champion; None where there is none that may stand before people.

    That is the challenger, unless it is blocked, or the last decision on it is to reject it.
    """
    stored = versions(store, dimension)
    champion = next((v for v in stored if tags.CHAMPION in v.aliases), None)
    challenger = next((v for v in stored if tags.CHALLENGER in v.aliases), None)
    if champion is None or challenger is None or challenger.number == champion.number:
        return None
    decided = decision_note(challenger)
    if challenger.tags.get(tags.BLOCKED) or (decided and decided.outcome == "reject"):
        return None
    return Trial(dimension, _tried(challenger), champion.champion())


def _tried(version: Version) -> Champion:
    if version.tried is None:
        raise RegistryError(
            f"{version.name} does not say at which weight it is tried",
            hint="genarm registry reconcile reads it from the version's files",
        )
    return replace(version.champion(), weight=version.tried.weight, guidance=version.tried.guidance)


@translates_errors
def open_canary(store: Store, trial: Trial, rule: str) -> Canary:
    """The record of a trial, begun with this rule where there is none yet."""
    if found := _find(store, trial):
        return found
    with store.lock() as held:
        if found := _find(held, trial):  # another server was faster
            return found
        experiment = held.experiment(tags.CANARY_EXPERIMENT)
        known = {
            tags.CANARY: trial.key,
            tags.DIMENSION: trial.dimension,
            tags.CHALLENGER_SHA256: trial.challenger.adapter_sha256,
            tags.CHALLENGER_VERSION: str(trial.challenger.version),
            tags.CHAMPION_VERSION: str(trial.champion.version),
            tags.CANARY_TRIAL: json.dumps(asdict(trial)),
            tags.CANARY_RULE: rule,
        }
        name = f"{trial.dimension}: version {trial.challenger.version} beside {trial.champion.version}"
        return _canary(held.client.create_run(experiment, run_name=name, tags=known))


def _find(store: Store, trial: Trial) -> Canary | None:
    found = _canaries(store, f"tags.`{tags.CANARY}` = '{trial.key}'", 1)
    return found[0] if found else None


@translates_errors
def canaries(store: Store, dimension: str, most: int = 20) -> list[Canary]:
    """The trials of a dimension, newest first."""
    return _canaries(store, f"tags.`{tags.DIMENSION}` = '{dimension}'", most)


def _canaries(store: Store, condition: str, most: int) -> list[Canary]:
    experiment = store.client.get_experiment_by_name(tags.CANARY_EXPERIMENT)
    if experiment is None:
        return []
    runs = store.client.search_runs(
        [experiment.experiment_id], condition, order_by=["start_time DESC"], max_results=most
    )
    return [_canary(run) for run in runs]


def _canary(run: "Run") -> Canary:
    known = run.data.tags
    trial = read_value(json.loads(known[tags.CANARY_TRIAL]), Trial, tags.CANARY_TRIAL)
    outcome, reason = known.get(tags.OUTCOME, ""), known.get(tags.REASON, "")
    return Canary(trial, run.info.run_id, known[tags.CANARY_RULE], iso(run.info.start_time), outcome, reason)


@translates_errors
def outcomes(store: Store, canary: Canary) -> dict[str, list[CanaryOutcome]]:
    """What was judged so far, by writer."""
    from mlflow.artifacts import download_artifacts

    if not store.client.list_artifacts(canary.run, OUTCOMES):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        place = download_artifacts(
            run_id=canary.run, artifact_path=OUTCOMES, dst_path=folder, tracking_uri=store.uri
        )
        return {file.stem: read_rows(file, CanaryOutcome) for file in sorted(Path(place).glob("*.jsonl"))}


@translates_errors
def write_outcomes(store: Store, canary: Canary, writer: str, rows: Sequence[CanaryOutcome]) -> None:
    """All outcomes of one writer so far, in place of what it wrote before."""
    text = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
    store.client.log_text(canary.run, text, f"{OUTCOMES}/{writer}.jsonl")


@translates_errors
def log_standing(store: Store, canary: Canary, metrics: Mapping[str, float], n: int) -> None:
    """The win rate and its bounds after `n` outcomes: the curves that MLflow shows."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    rows = [Metric(name, float(value), now, n) for name, value in metrics.items()]
    store.client.log_batch(canary.run, metrics=rows)


@translates_errors
def write_responses(store: Store, canary: Canary, writer: str, seen: Responses) -> None:
    """What one server saw of the challenger's responses so far, in place of what it wrote before."""
    store.client.set_tag(canary.run, f"{tags.RESPONSES}.{writer}", json.dumps(asdict(seen)))


@translates_errors
def responses(store: Store, canary: Canary, but: str = "") -> Responses:
    """What all servers saw of the challenger's responses so far; `but` leaves out one of them."""
    total, known = Responses(), store.client.get_run(canary.run).data.tags
    for tag, text in known.items():
        if tag.startswith(f"{tags.RESPONSES}.") and tag != f"{tags.RESPONSES}.{but}":
            total += read_value(json.loads(text), Responses, tag)
    return total


@translates_errors
def settle(store: Store, canary: Canary, ending: Ending) -> Ending | None:
    """The ending of a trial, which is the first that was settled; None where it has ended already.

    Two processes that find an ending at once, after different numbers of outcomes, so carry out one, and so
    does whoever comes after one that was killed meanwhile.
    """
    with store.lock() as held:
        known = held.client.get_run(canary.run).data.tags
        if known.get(tags.OUTCOME):
            return None
        if text := known.get(tags.CANARY_ENDING):
            return read_value(json.loads(text), Ending, tags.CANARY_ENDING)
        held.client.set_tag(canary.run, tags.CANARY_ENDING, to_json(ending))
    return ending


@translates_errors
def end_canary(store: Store, canary: Canary, outcome: str, reason: str) -> bool:
    """Note how a trial ended; False where it has ended already. Where it did harm, the version is blocked.

    A version that is blocked is promoted by nobody but a person who says why, and is no longer on trial.
    """
    with store.lock() as held:
        run = held.client.get_run(canary.run)
        if run.data.tags.get(tags.OUTCOME):
            return False
        trial = canary.trial
        if outcome == "reject":
            number, numbers = trial.challenger.version, aliases(held, trial.dimension)
            for version in versions(held, trial.dimension):
                if version.number == number and numbers.get(tags.CHAMPION) != number:
                    set_tag(held, version, tags.BLOCKED, f"stopped in service: {reason}")
            if numbers.get(tags.CHALLENGER) == number:
                point(held, trial.dimension, tags.CHALLENGER, 0)
        held.client.set_tag(canary.run, tags.REASON, reason)
        held.client.set_tag(canary.run, tags.OUTCOME, outcome)
        held.client.set_terminated(canary.run, ENDED)
    return True

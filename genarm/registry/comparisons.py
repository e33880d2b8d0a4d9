"""Experiments of `genarm compare` on record: a run for the results, below it one a method and one a training.

A record is identified by the hash of its results, so recording the same ones again adds nothing, and one that
was cut short is completed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genarm.registry import tags
from genarm.registry.live_run import PARAM_LENGTH, PARAMS_AT_ONCE
from genarm.registry.store import Store, translates_errors
from genarm.registry.user import user_name
from genarm.registry.versions import flatten
from genarm.system.files import sha256
from genarm.system.metric_names import STEP

METRICS_AT_ONCE = 500  # MLflow takes 1000 in a batch


@dataclass(frozen=True, slots=True)
class Trained:
    """One training of a model of an experiment."""

    model: str
    seed: int
    metrics: Mapping[str, float]
    params: Mapping[str, object]
    curves: Sequence[Mapping[str, float]] = ()  # each row with its step


@translates_errors
def record_comparison(
    store: Store,
    name: str,
    results: Path,
    *,
    metrics: Mapping[str, Mapping[str, float]],
    params: Mapping[str, Mapping[str, object]],
    trained: Sequence[Trained] = (),
    note: str = "",
) -> str:
    """Log the results of an experiment; the id of the parent run.

    `results` is the folder with `results.json`; `metrics` and `params` are by method, each of which becomes a
    run below the parent's, and so does each training, which is tagged with its model.
    """
    client, experiment = store.client, store.experiment(tags.COMPARE_EXPERIMENT)
    digest = sha256(results / "results.json")
    same = client.search_runs([experiment], f"tags.`{tags.COMPARISON_SHA256}` = '{digest}'", max_results=1)
    if same and same[0].info.status == "FINISHED":
        return str(same[0].info.run_id)
    for run in same:  # cut short: its children are made anew with it
        for child in client.search_runs([experiment], f"tags.`{tags.PARENT_RUN}` = '{run.info.run_id}'"):
            client.delete_run(child.info.run_id)
        client.delete_run(run.info.run_id)
    own = {tags.COMPARISON_SHA256: digest, tags.NOTE: note, tags.SOURCE_NAME: f"genarm compare {name}"}
    if user := user_name():
        own[tags.USER] = user
    parent = client.create_run(experiment, run_name=name, tags={k: v for k, v in own.items() if v})
    parent_id = str(parent.info.run_id)
    for method, numbers in metrics.items():
        _child(store, parent_id, method, numbers, params.get(method, {}))
    for training in trained:
        settings = {"model": training.model, "seed": training.seed, **training.params}
        name = f"{training.model}-{training.seed}"
        own = {tags.TRAINED_MODEL: training.model}
        _child(store, parent_id, name, training.metrics, settings, own, training.curves)
    client.log_artifacts(parent_id, str(results), "results")
    client.set_terminated(parent_id, "FINISHED")
    return parent_id


def _child(
    store: Store,
    parent: str,
    name: str,
    metrics: Mapping[str, float],
    params: Mapping[str, object],
    more: Mapping[str, str] | None = None,
    curves: Sequence[Mapping[str, float]] = (),
) -> None:
    """A finished run below the parent's."""
    experiment = store.experiment(tags.COMPARE_EXPERIMENT)
    own = {tags.PARENT_RUN: parent, **(more or {})}
    child = store.client.create_run(experiment, run_name=name, tags=own)
    _log(store, child.info.run_id, metrics, params, curves)
    store.client.set_terminated(child.info.run_id, "FINISHED")


def _log(
    store: Store,
    run_id: str,
    metrics: Mapping[str, float],
    params: Mapping[str, object],
    curves: Sequence[Mapping[str, float]],
) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    rows = [
        Metric(name, float(value), now, int(row[STEP]))
        for row in curves
        for name, value in row.items()
        if name != STEP and name not in metrics  # of those the run shows what the training ended with
    ]
    rows += [Metric(name, float(value), now, 0) for name, value in metrics.items()]
    for start in range(0, len(rows), METRICS_AT_ONCE):
        store.client.log_batch(run_id, metrics=rows[start : start + METRICS_AT_ONCE])
    settings = [Param(name, str(value)[:PARAM_LENGTH]) for name, value in flatten(params).items()]
    store.client.log_batch(run_id, params=settings[:PARAMS_AT_ONCE])

"""An ARM becomes a version, once: the run that says how it was made, the model that loads, the alias.

1. a run in `genarm/train`, tagged with the adapter's hash: parameters, metrics, curves, data, lineage
2. a logged model of that run: the PEFT folder and the code that loads it, no pickle
3. the version, made with all of its tags in one write: from here on the adapter is registered
4. the alias `challenger`, unless the adapter is the champion already; then the run is closed

A crash before 3 leaves a run and a model without a version: the next try discards them and starts over.
A crash after 3 is completed by the next try.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genarm.errors import AdapterError
from genarm.models import arm as arms
from genarm.registry.live_run import link
from genarm.registry.model_files import has_files, upload
from genarm.registry.pages import model_page, version_page
from genarm.registry.store import Store, asking
from genarm.registry.versions import MODEL, SHA, Version, aliases, find, flatten, model_name
from genarm.types import ArmCard

EXPERIMENT = "genarm/train"
LINK = "mlflow.modelVersions"
WEIGHT = "genarm.weight"


@asking
def register(
    store: Store,
    dimension: str,
    arm_folder: Path,
    *,
    weight: float | None = None,
    metrics: Mapping[str, float],
    curves: Sequence[Mapping[str, float]] = (),
    params: Mapping[str, object] | None = None,
    lineage: Mapping[str, str] | None = None,
) -> int:
    """The version number of an ARM, made on first sight of its adapter hash.

    `weight` is the decoding weight it is judged at, the card's where it is None; `curves` are rows with a
    `step`; `lineage` are ids to tag (`git dirty`, `flow run`, `deployment`, ...),
    added to those of the card. Raises AdapterError where the folder is altered or of another dimension.
    """
    card = arms.read_card(arm_folder)
    if card.dimension != dimension:
        raise AdapterError(
            f"{arm_folder} holds an ARM for {card.dimension!r}, to be registered as {dimension!r}",
            hint=f"train it: genarm train {dimension}",
        )
    if weight is not None:
        card = dataclasses.replace(card, weight=weight)
    with store.lock():
        version = find(store, dimension, card.adapter_sha256)
        if version is None:
            number = _create(store, card, arm_folder, metrics, curves, params, _lineage(card, lineage or {}))
            version = find(store, dimension, card.adapter_sha256)
            assert version is not None, f"version {number} was made and is not found"
        elif not has_files(store, version) or _tried_anew(store, version, card.weight):
            upload(store, card, arm_folder, version.model_id, version.run_id)
        _put_on_trial(store, version, card.weight)
        if store.client.get_run(version.run_id).info.status == "RUNNING":
            # How MLflow's page of the model finds its version; and the mark that nothing is left to do.
            link = json.dumps([{"name": model_name(dimension), "version": version.number}])
            store.client.set_logged_model_tags(version.model_id, {LINK: link})
            store.client.set_terminated(version.run_id, "FINISHED")
    return version.number


def _create(
    store: Store,
    card: ArmCard,
    folder: Path,
    metrics: Mapping[str, float],
    curves: Sequence[Mapping[str, float]],
    params: Mapping[str, object] | None,
    lineage: Mapping[str, str],
) -> int:
    from mlflow.entities import LoggedModelOutput, Param

    client, experiment = store.client, store.experiment(EXPERIMENT)
    _discard_halves(store, experiment, card)
    page = version_page(card, metrics, lineage)
    tags = {f"genarm.{key}": value for key, value in lineage.items() if value}
    name = f"{card.dimension}-{card.adapter_sha256[:8]}"
    run = client.create_run(
        experiment,
        run_name=name,
        tags=tags
        | {
            "mlflow.note.content": page,
            "mlflow.source.name": f"genarm train {card.dimension}",
            "mlflow.source.git.commit": lineage.get("git_commit", ""),
        },
    )
    run_id = run.info.run_id
    link(store, run_id, card.adapter_sha256)
    settings = {key: str(value) for key, value in flatten(card.params if params is None else params).items()}
    client.log_batch(run_id, params=[Param(key, value) for key, value in settings.items()][:100])
    model = client.create_logged_model(
        experiment, name=name, source_run_id=run_id, tags=tags, params=settings, model_type="arm"
    )
    client.log_inputs(run_id, datasets=[_dataset(card)])
    _log_metrics(store, run_id, model.model_id, metrics, curves)
    upload(store, card, folder, model.model_id, run_id)
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    _registered_model(store, card.dimension)
    made = client.create_model_version(
        model_name(card.dimension),
        source=model.artifact_location,
        run_id=run_id,
        model_id=model.model_id,
        tags=tags | {MODEL: model.model_id},  # MLflow takes model_id and, on a database, forgets it
        description=page,
        await_creation_for=0,
    )
    return int(made.version)


def _lineage(card: ArmCard, given: Mapping[str, str]) -> dict[str, str]:
    known = {
        "dimension": card.dimension,
        "adapter_sha256": card.adapter_sha256,
        "git_commit": card.git_commit,
        "data_md5": card.data_md5,
        "pairs_sha256": card.pairs_sha256,
        "params_sha256": hashlib.sha256(json.dumps(card.params, sort_keys=True).encode()).hexdigest(),
        "base_id": card.model_id,
        "base_revision": card.model_revision,
        "base_weights_sha256": card.model_weights_sha256,
        "tokenizer_sha256": card.tokenizer_sha256,
        "guides": card.guides_id if card.guides_another_model else None,
        "guides_revision": card.guides_revision if card.guides_another_model else None,
        "dtype": card.dtype,
        "quantise": card.quantise,
        "warm_start": card.warm_start and f"version {card.warm_start.version}",
        "warm_start_sha256": card.warm_start and card.warm_start.adapter_sha256,
        "beta": repr(card.beta),
        "weight": repr(card.weight),
        "dvc_stage": f"train@{card.dimension}",
    }
    # What the card says of the adapter was true when it was trained; a caller can only add to it.
    result = {key: value for key, value in known.items() if value}
    for key, value in given.items():
        result.setdefault(key.strip().replace(" ", "_"), value)
    return result


def _discard_halves(store: Store, experiment: str, card: ArmCard) -> None:
    """Runs and models of this adapter that a crash left without a version."""
    condition = f"tags.`{SHA}` = '{card.adapter_sha256}'"
    for run in store.client.search_runs([experiment], condition):
        if run.info.status == "RUNNING":
            store.client.delete_run(run.info.run_id)
    for model in store.client.search_logged_models([experiment], condition):
        if LINK not in model.tags:
            store.client.delete_logged_model(model.model_id)


def _dataset(card: ArmCard) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=f"{card.dimension} pairs",
        digest=(card.data_md5 or card.pairs_sha256)[:36],
        source_type="local",
        source=json.dumps({"uri": "data.dvc"}),
        profile=json.dumps({"pairs_sha256": card.pairs_sha256}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _log_metrics(
    store: Store,
    run_id: str,
    model_id: str,
    metrics: Mapping[str, float],
    curves: Sequence[Mapping[str, float]],
) -> None:
    """Curves belong to the run; the final numbers to the run and to the model's page."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    rows = [
        Metric(name, float(value), now, int(row.get("step", number)))
        for number, row in enumerate(curves)
        for name, value in row.items()
        if name not in ("step", "epoch")
    ]
    last = max((row.step for row in rows), default=0)
    rows += [
        Metric(name, float(v), now, last, model_id=model_id, run_id=run_id) for name, v in metrics.items()
    ]
    for start in range(0, len(rows), 1000):  # MLflow's limit for a batch
        store.client.log_batch(run_id, metrics=rows[start : start + 1000])


def _registered_model(store: Store, dimension: str) -> None:
    name = model_name(dimension)
    if not store.client.search_registered_models(f"name = '{name}'", max_results=1):
        store.client.create_registered_model(name, {"genarm.dimension": dimension}, model_page(dimension))


def _tried_anew(store: Store, version: Version, weight: float) -> bool:
    """Whether the weight differs from the stored one; that of the champion is settled."""
    settled = aliases(store, version.dimension).get("champion") == version.number
    return not settled and version.tags.get(WEIGHT) != repr(weight)


def _put_on_trial(store: Store, version: Version, weight: float) -> None:
    """The alias `challenger`, and the weight it is tried at; neither for the champion itself."""
    named, name = aliases(store, version.dimension), model_name(version.dimension)
    if named.get("champion") == version.number:
        if "challenger" in named:
            store.client.delete_registered_model_alias(name, "challenger")
        return
    if version.tags.get(WEIGHT) != repr(weight):
        store.client.set_model_version_tag(name, str(version.number), WEIGHT, repr(weight))
    if named.get("challenger") != version.number:
        store.client.set_registered_model_alias(name, "challenger", str(version.number))

"""How an ARM becomes a version, once: a run that says how it was made, a model that loads, an alias.

1. a run in `genarm/train`, tagged with the adapter's hash: parameters, metrics, curves, data, lineage. It is
   the run that showed the training while it ran (`live_run`), where there is one
2. a logged model of that run: the PEFT folder and the code that loads it, no pickle
3. the version, made with all of its tags in one write: from here on the adapter is registered
4. the alias `challenger`, unless the adapter is the champion already; then the run is closed

A crash before 3 leaves a run and a model without a version: the next attempt discards them and starts over,
with a run of its own. The curves are in the ARM's folder, so nothing of a training is lost with its run.
After a crash later than 3 the next attempt does what is missing.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.errors import AdapterError
from genarm.models.arm import read_card
from genarm.registry import tags
from genarm.registry.model_files import has_files, logged_model, upload
from genarm.registry.pages import compared_page, model_page, training_page
from genarm.registry.record import metrics_text
from genarm.registry.serving import as_served, is_settled
from genarm.registry.store import Store, translates_errors
from genarm.registry.tags import model_name
from genarm.registry.trial import is_used_otherwise, put_on_trial, use_tags
from genarm.registry.user import user_name
from genarm.registry.version_page import version_page
from genarm.registry.versions import Version, delete_tag, find, flatten, run_of
from genarm.system.metric_names import EVALUATION_LOSS, LOSS, POSITION, STEP, is_evaluation_row
from genarm.types import ArmCard, Guidance

if TYPE_CHECKING:
    from mlflow.entities import Run

METRICS_PER_BATCH, PARAMS_PER_BATCH = 1000, 100  # MLflow's limits


@translates_errors
def register(
    store: Store,
    dimension: str,
    arm_folder: Path,
    *,
    weight: float | None = None,
    guidance: Guidance | None = None,
    metrics: Mapping[str, float],
    curves: Sequence[Mapping[str, float]] = (),
    lineage: Mapping[str, str] | None = None,
    source: str = "",
) -> int:
    """The version number of an ARM; the version is created when its adapter hash is new.

    `weight` is the decoding weight it is judged at, and `guidance` what that weight multiplies; the card's
    where they are None. A version that was promoted before is put on trial with them, and served as it was
    promoted until another promotion. `curves` are rows with a `step`. `lineage` maps names (`dvc stage`,
    `git dirty`, `flow run`, ...) to values, which become tags beside those of the card. `source` is the
    command that made it, where that is no training. Raises AdapterError where the folder is altered or of
    another dimension.
    """
    card = read_card(arm_folder)
    if card.dimension != dimension:
        raise AdapterError(
            f"{arm_folder} holds an ARM for {card.dimension!r}, to be registered as {dimension!r}",
            hint=f"train it: genarm train {dimension}",
        )
    if weight is not None:
        card = dataclasses.replace(card, weight=weight)
    if guidance is not None:
        card = dataclasses.replace(card, guidance=guidance)
    with store.lock() as held:
        version = find(held, dimension, card.adapter_sha256)
        if version is None:
            _create(held, card, arm_folder, metrics, curves, _lineage(card, lineage or {}), source)
            version = find(held, dimension, card.adapter_sha256)
            assert version is not None, "the version that was just created is not found"
        elif not has_files(held, version):
            whole = as_served(version, card) if is_settled(version) else card
            upload(held, whole, arm_folder, version.model_id, version.run_id, version)
            if tags.PRUNED in version.tags:
                delete_tag(held, version, tags.PRUNED)
        elif is_used_otherwise(held, version, card) and not is_settled(version):
            upload(held, card, arm_folder, version.model_id, version.run_id, version)
        else:
            known = held.experiment(tags.TRAIN_EXPERIMENT)
            _discard_unfinished(held, known, card.adapter_sha256, registered=version.run_id or "gone")
        put_on_trial(held, version, card)
        run = run_of(held, version)
        if run and run.info.status == "RUNNING" and logged_model(held, version.model_id):
            # MLflow's page of the model finds its version by this; the status says that nothing is missing.
            link = json.dumps([{"name": model_name(dimension), "version": version.number}])
            held.client.set_logged_model_tags(version.model_id, {tags.MODEL_VERSIONS: link})
            held.client.set_terminated(version.run_id, "FINISHED")
    return version.number


def _create(
    store: Store,
    card: ArmCard,
    folder: Path,
    metrics: Mapping[str, float],
    curves: Sequence[Mapping[str, float]],
    lineage: Mapping[str, str],
    source: str,
) -> None:
    from mlflow.entities import LoggedModelOutput

    client, experiment = store.client, store.experiment(tags.TRAIN_EXPERIMENT)
    shown = _discard_unfinished(store, experiment, card.adapter_sha256)
    user = user_name()
    known = {tag: value for tag, value in lineage.items() if value}
    name = f"{card.dimension}-{card.adapter_sha256[:8]}"
    for_mlflow = {
        tags.NOTE: compared_page(card.dimension, source) if source else training_page(card.dimension),
        tags.SOURCE_NAME: source or f"genarm train {card.dimension}",
        tags.SOURCE_COMMIT: lineage.get(tags.GIT_COMMIT, ""),
        **({tags.USER: user} if user else {}),
    }
    settings = {key: str(value) for key, value in flatten(card.params).items()}
    run_id = _run(store, experiment, shown, name, known | for_mlflow, settings)
    if shown:
        curves = _not_shown(store, run_id, curves)
    model = client.create_logged_model(
        experiment, name=name, source_run_id=run_id, tags=known, params=settings, model_type="arm"
    )
    client.log_inputs(run_id, datasets=[_dataset(card)])
    _log_metrics(store, run_id, model.model_id, metrics, curves)
    upload(store, card, folder, model.model_id, run_id)
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    _ensure_registered_model(store, card.dimension)
    of_version = known | {tags.MODEL_ID: model.model_id, tags.METRICS: metrics_text(metrics)}
    of_version |= {tags.USER: user} if user else {}
    client.create_model_version(
        model_name(card.dimension),
        source=model.artifact_location,
        run_id=run_id,
        model_id=model.model_id,
        tags=of_version,
        description=version_page(Version(card.dimension, 0, (tags.CHALLENGER,), of_version, run_id, "", "")),
        await_creation_for=0,
    )


def _lineage(card: ArmCard, given: Mapping[str, str]) -> dict[str, str]:
    """Tags with their values: those of the card, then what the caller knows beside it."""
    params_sha256 = hashlib.sha256(json.dumps(card.params, sort_keys=True).encode()).hexdigest()
    of_card = {
        tags.DIMENSION: card.dimension,
        tags.ADAPTER_SHA256: card.adapter_sha256,
        tags.GIT_COMMIT: card.git_commit,
        tags.DATA_MD5: card.data_md5,
        tags.PAIRS_SHA256: card.pairs_sha256,
        tags.PARAMS_SHA256: params_sha256,
        tags.BASE_ID: card.model_id,
        tags.BASE_REVISION: card.model_revision,
        tags.BASE_WEIGHTS_SHA256: card.model_weights_sha256,
        tags.TOKENIZER_SHA256: card.tokenizer_sha256,
        tags.GUIDES: card.guides_id if card.guides_another_model else None,
        tags.GUIDES_REVISION: card.guides_revision if card.guides_another_model else None,
        tags.DTYPE: card.dtype,
        tags.QUANTISE: card.quantise,
        tags.WARM_START: card.warm_start and f"version {card.warm_start.version}",
        tags.WARM_START_SHA256: card.warm_start and card.warm_start.adapter_sha256,
        tags.BETA: repr(card.beta),
        **use_tags(card),
    }
    # What the card says was true when the ARM was trained: a caller can add to it, not change it.
    result = {tag: value for tag, value in of_card.items() if value}
    for name, value in given.items():
        result.setdefault(tags.tag(name), value)
    return result


def _discard_unfinished(store: Store, experiment: str, sha256: str, registered: str = "") -> "Run | None":
    """Delete runs and models of an adapter that a crash left without a version.

    Returns the run that showed its training, where that ended and nobody has registered it yet. Where the
    adapter was `registered` with another run, from an earlier training that gave the same bytes, it is
    deleted too: one adapter has one run.
    """
    condition = f"tags.`{tags.ADAPTER_SHA256}` = '{sha256}'"
    shown = None
    for run in store.client.search_runs([experiment], condition, order_by=["start_time DESC"]):
        if run.info.run_id == registered:
            continue
        # What shows a training knows what identifies it, and gets its other tags when it is registered.
        only_shown = tags.TRAINING in run.data.tags and tags.PARAMS_SHA256 not in run.data.tags
        if only_shown and shown is None and not registered and run.info.status == "FINISHED":
            shown = run
        elif only_shown or (run.info.status == "RUNNING" and not registered):
            store.client.delete_run(run.info.run_id)
    if not registered:
        for model in store.client.search_logged_models([experiment], condition):
            if tags.MODEL_VERSIONS not in model.tags:
                store.client.delete_logged_model(model.model_id)
    return shown


def _run(
    store: Store,
    experiment: str,
    shown: "Run | None",
    name: str,
    run_tags: Mapping[str, str],
    settings: Mapping[str, str],
) -> str:
    """The id of a run for an ARM: the one that has shown its training, or a new one."""
    from mlflow.entities import Param, RunTag

    client = store.client
    if shown is None:
        run_id, known, rows = (
            client.create_run(experiment, run_name=name, tags=dict(run_tags)).info.run_id,
            {},
            [],
        )
    else:
        run_id, known = shown.info.run_id, shown.data.params
        client.update_run(run_id, status="RUNNING", name=name)  # so a crash from here on is seen
        rows = [RunTag(tag, value) for tag, value in run_tags.items()]
    params = [Param(key, value) for key, value in settings.items() if key not in known]
    client.log_batch(run_id, params=params[: PARAMS_PER_BATCH - len(known)], tags=rows)
    return str(run_id)


def _not_shown(store: Store, run_id: str, curves: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """The rows of the curves that a run does not have yet."""
    steps = {
        loss: {metric.step for metric in store.client.get_metric_history(run_id, loss)}
        for loss in (LOSS, EVALUATION_LOSS)
    }
    return [
        row
        for number, row in enumerate(curves)
        if int(row.get(STEP, number)) not in steps[EVALUATION_LOSS if is_evaluation_row(row) else LOSS]
    ]


def _dataset(card: ArmCard) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=f"{card.dimension} pairs",
        digest=(card.data_md5 or card.pairs_sha256)[:36],
        source_type="local",
        source=json.dumps({"uri": "data.dvc"}),
        profile=json.dumps({"pairs_sha256": card.pairs_sha256}),
    )
    return DatasetInput(dataset, [InputTag(tags.DATA_CONTEXT, "training")])


def _log_metrics(
    store: Store,
    run_id: str,
    model_id: str,
    metrics: Mapping[str, float],
    curves: Sequence[Mapping[str, float]],
) -> None:
    """Log the curves on the run, and the final metrics on the run and on the logged model."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    rows = [
        Metric(name, float(value), now, int(row.get(STEP, number)))
        for number, row in enumerate(curves)
        for name, value in row.items()
        if name not in POSITION
    ]
    last = max((row.step for row in rows), default=0)
    rows += [
        Metric(name, float(value), now, last, model_id=model_id, run_id=run_id)
        for name, value in metrics.items()
    ]
    for start in range(0, len(rows), METRICS_PER_BATCH):
        store.client.log_batch(run_id, metrics=rows[start : start + METRICS_PER_BATCH])


def _ensure_registered_model(store: Store, dimension: str) -> None:
    name = model_name(dimension)
    if not store.client.search_registered_models(f"name = '{name}'", max_results=1):
        store.client.create_registered_model(name, {tags.DIMENSION: dimension}, model_page(dimension))

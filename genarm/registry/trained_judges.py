"""Trained judges in the registry: a run in `genarm/judges` with the folder, and a version that points to it.

A version of `genarm-judge.<dimension>` is identified by the hash of its judge, which it carries as a tag. No
alias points to it: params.yaml pins a judge by its version, so that it never changes by itself.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from genarm.errors import JudgeError, RegistryError
from genarm.models.judge_folder import JudgeCard, read_judge
from genarm.registry import tags
from genarm.registry.mlflow_errors import EXISTS, passing_over
from genarm.registry.registering import METRICS_PER_BATCH, PARAMS_PER_BATCH
from genarm.registry.store import Store, translates_errors
from genarm.registry.tags import judge_model_name
from genarm.registry.versions import flatten
from genarm.system.metric_names import POSITION, STEP

ARTIFACTS = "judge"  # the folder among the artifacts of its run


@translates_errors
def register_judge(
    store: Store,
    folder: Path,
    *,
    curves: Sequence[Mapping[str, float]] = (),
    lineage: Mapping[str, str] | None = None,
) -> int:
    """The version number of the trained judge in a folder; the version is created when its hash is new.

    A crash before the version is there leaves a run without one, which the next attempt deletes.
    """
    card = read_judge(folder, by_content=True)
    with store.lock() as held:
        known = _versions(held, card.dimension)
        number = next((n for n, sha256 in sorted(known.items()) if sha256 == card.sha256), None)
        return number if number is not None else _create(held, card, folder, curves, lineage or {})


@translates_errors
def fetch_judge(store: Store, dimension: str, version: int, into: Path) -> Path:
    """The folder of a trained judge, checked against its hash; one that is right already is kept.

    Raises JudgeError where there is no such version, or the store holds other bytes than it says.
    """
    if into.is_dir():
        read_judge(into)
        return into
    known = _versions(store, dimension)
    if version not in known:
        numbers = ", ".join(map(str, sorted(known))) or "none"
        raise JudgeError(
            f"{store.address} has no version {version} of {judge_model_name(dimension)}; it holds: {numbers}",
            hint=f"set MLFLOW_TRACKING_URI to the store that made it, or genarm train-judge {dimension}",
        )
    beside = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        _download(store, dimension, version, beside)
        stored = read_judge(beside, by_content=True).sha256
        if stored != known[version]:
            raise JudgeError(
                f"version {version} of {judge_model_name(dimension)} in {store.address} holds the judge "
                f"{stored[:12]}, its tag says {known[version][:12]}",
                hint=f"restore its files, or train another version: genarm train-judge {dimension}",
            )
        beside.rename(into)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return into


def _versions(store: Store, dimension: str) -> dict[int, str]:
    """Number -> hash of every version of a dimension's judge."""
    found, token = dict[int, str](), None
    while True:
        condition = f"name = '{judge_model_name(dimension)}'"
        page = store.client.search_model_versions(condition, page_token=token)
        found |= {int(row.version): row.tags.get(tags.JUDGE_SHA256, "") for row in page}
        token = page.token
        if not token:
            return found


def _create(
    store: Store,
    card: JudgeCard,
    folder: Path,
    curves: Sequence[Mapping[str, float]],
    lineage: Mapping[str, str],
) -> int:
    client, experiment = store.client, store.experiment(tags.JUDGES_EXPERIMENT)
    for run in client.search_runs([experiment], f"tags.`{tags.JUDGE_SHA256}` = '{card.sha256}'"):
        client.delete_run(run.info.run_id)
    name = judge_model_name(card.dimension)
    known = _tags(card) | {tags.tag(key): value for key, value in lineage.items() if value}
    run = client.create_run(experiment, run_name=f"{card.dimension}-{card.sha256[:8]}", tags=known)
    _log(store, run.info.run_id, card, curves)
    client.log_artifacts(run.info.run_id, str(folder), ARTIFACTS)
    with passing_over(EXISTS):
        client.create_registered_model(
            name,
            {tags.DIMENSION: card.dimension},
            f"Reward models that judge `{card.dimension}`, trained by `genarm train-judge` on pairs that no "
            "ARM sees. params.yaml pins one by its version.",
        )
    source = f"{run.info.artifact_uri}/{ARTIFACTS}"
    version = client.create_model_version(
        name, source=source, run_id=run.info.run_id, tags=known, await_creation_for=0
    )
    client.set_terminated(run.info.run_id, "FINISHED")
    return int(version.version)


def _tags(card: JudgeCard) -> dict[str, str]:
    values = {
        tags.DIMENSION: card.dimension,
        tags.JUDGE_SHA256: card.sha256,
        tags.BASE_ID: card.model_id,
        tags.BASE_REVISION: card.model_revision,
        tags.BASE_WEIGHTS_SHA256: card.model_weights_sha256,
        tags.PAIRS_SHA256: card.pairs_sha256,
        tags.DATA_MD5: card.data_md5,
        tags.GIT_COMMIT: card.git_commit,
    }
    return {tag: value for tag, value in values.items() if value}


def _log(store: Store, run_id: str, card: JudgeCard, curves: Sequence[Mapping[str, float]]) -> None:
    from mlflow.entities import Metric, Param

    settings = [Param(key, str(value)) for key, value in flatten(card.params).items()]
    store.client.log_batch(run_id, params=settings[:PARAMS_PER_BATCH])
    now = int(time.time() * 1000)
    rows = [
        Metric(name, float(value), now, int(row[STEP]))
        for row in curves
        for name, value in row.items()
        if name not in POSITION
    ]
    last = max((row.step for row in rows), default=0)
    rows += [Metric(name, float(value), now, last) for name, value in card.metrics.items()]
    for start in range(0, len(rows), METRICS_PER_BATCH):
        store.client.log_batch(run_id, metrics=rows[start : start + METRICS_PER_BATCH])


def _download(store: Store, dimension: str, version: int, into: Path) -> None:
    from mlflow.artifacts import download_artifacts

    from genarm.registry.patience import DOWNLOAD_SECONDS, waiting

    place = store.client.get_model_version_download_uri(judge_model_name(dimension), str(version))
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as temporary:
        with waiting(DOWNLOAD_SECONDS):
            downloaded = download_artifacts(artifact_uri=place, dst_path=temporary, tracking_uri=store.uri)
        if not any(Path(downloaded).glob("*.safetensors")):
            raise RegistryError(
                f"the files of version {version} of {judge_model_name(dimension)} are gone from {place}",
                hint=f"restore that folder, or train another version: genarm train-judge {dimension}",
            )
        Path(downloaded).rename(into)

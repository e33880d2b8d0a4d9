"""The files of a version: the ARM's plain folder inside a pyfunc model, uploaded and downloaded."""

import importlib.metadata
import shutil
import tempfile
import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from genarm.errors import DataError, RegistryError
from genarm.models.arm import CARD, files, upgrade_card
from genarm.registry.mlflow_errors import ABSENT, INVALID, passing_over
from genarm.registry.store import Store
from genarm.registry.versions import Version, location
from genarm.system.files import read_json, read_value, write_json
from genarm.types import ArmCard

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

ARM_PATH = "artifacts/arm"  # the ARM's folder inside the stored model
STORED_CODE = Path(__file__).with_name("pyfunc.py")
REQUIREMENTS = ("genarm", "mlflow", "torch", "transformers", "peft")


def upload(
    store: Store, card: ArmCard, folder: Path, model_id: str, run_id: str, version: Version | None = None
) -> None:
    """Store the ARM's folder as a pyfunc model; signature and requirements are stated, not inferred.

    The stored card is `card`, which may have another decoding weight than the one in the folder. The files go
    to the logged model or, where somebody has deleted that, to where its `version` has them.
    """
    from mlflow.models import Model

    from genarm.registry.pyfunc_signature import EXAMPLE, signature

    with warnings.catch_warnings():  # on import, MLflow warns of type hints of its own
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.pyfunc
    kept = logged_model(store, model_id)
    if kept:
        place = kept.artifact_location
    elif version:
        place = location(store, version)
    else:
        raise RegistryError(f"the logged model {model_id} was deleted meanwhile", hint="run again")
    with tempfile.TemporaryDirectory() as temporary:
        arm, model = Path(temporary) / "arm", Path(temporary) / "model"
        arm.mkdir()
        for name in files(folder):
            shutil.copyfile(folder / name, arm / name)
        write_json(arm / CARD, card)
        mlflow.pyfunc.save_model(
            str(model),
            mlflow_model=Model(
                artifact_path=place,
                model_uuid=model_id,
                model_id=model_id,
                run_id=run_id,
            ),
            python_model=str(STORED_CODE),
            artifacts={"arm": str(arm)},
            model_config={"base": "", "dtype": "bfloat16", "batch_size": 32, "arms": {}},
            signature=signature(),
            input_example=EXAMPLE,
            pip_requirements=_requirements(),
            metadata={
                "dimension": card.dimension,
                "base_id": card.model_id,
                "adapter_sha256": card.adapter_sha256,
            },
        )
        _send(store, model, place, model_id if kept else "")


def store_card(store: Store, version: Version, card: ArmCard) -> None:
    """Replace the card among a version's files by one for the same adapter."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / ARM_PATH / CARD
        file.parent.mkdir(parents=True)
        write_json(file, card)
        kept = logged_model(store, version.model_id)
        _send(store, Path(temporary), location(store, version), version.model_id if kept else "")


def _send(store: Store, folder: Path, place: str, model_id: str) -> None:
    """Copy a folder to the files of a logged model, or to `place` where that is deleted."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if model_id:
        store.client.log_model_artifacts(model_id, str(folder))
    else:
        repository = get_artifact_repository(place, tracking_uri=store.uri)
        repository.log_artifacts(str(folder))  # type: ignore[no-untyped-call]


def logged_model(store: Store, model_id: str) -> "LoggedModel | None":
    """A logged model; None where somebody has deleted it, which leaves the version and its files alone."""
    with passing_over(ABSENT, INVALID):
        return store.client.get_logged_model(model_id) if model_id else None
    return None


def _requirements() -> list[str]:
    requirements = []
    for name in REQUIREMENTS:
        try:
            requirements.append(f"{name}=={importlib.metadata.version(name).partition('+')[0]}")
        except importlib.metadata.PackageNotFoundError:
            continue  # genarm runs from a source tree without being installed
    return requirements


def download(store: Store, version: Version, into: Path) -> None:
    """Copy the ARM's folder of a version. Raises RegistryError where its files are gone."""
    from mlflow.artifacts import download_artifacts

    from genarm.registry.patience import DOWNLOAD_SECONDS, waiting

    if not has_files(store, version):
        raise RegistryError(
            f"the files of {version.name} are gone from {location(store, version)}",
            hint="restore that folder, or register the same adapter again: genarm run",
        )
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as temporary:
        with waiting(DOWNLOAD_SECONDS):
            downloaded = download_artifacts(
                artifact_uri=f"{location(store, version)}/{ARM_PATH}",
                dst_path=temporary,
                tracking_uri=store.uri,
            )
        shutil.rmtree(into, ignore_errors=True)
        Path(downloaded).rename(into)


def stored_card(store: Store, version: Version) -> ArmCard | None:
    """The card among a version's files; None where there is none that can be read."""
    from mlflow.artifacts import download_artifacts

    if CARD not in _stored(store, version):
        return None
    with tempfile.TemporaryDirectory() as temporary:
        card = download_artifacts(
            artifact_uri=f"{location(store, version)}/{ARM_PATH}/{CARD}",
            dst_path=temporary,
            tracking_uri=store.uri,
        )
        try:
            return read_value(upgrade_card(read_json(Path(card), dict[str, Any])), ArmCard, CARD)
        except DataError:
            return None


def has_files(store: Store, version: Version) -> bool:
    """Whether the store still holds the weights of a version."""
    return any(name.endswith(".safetensors") for name in _stored(store, version))


def _stored(store: Store, version: Version) -> list[str]:
    """The names of the files of a version's ARM."""
    from mlflow.artifacts import list_artifacts

    with passing_over(ABSENT, INVALID):
        found = list_artifacts(artifact_uri=f"{location(store, version)}/{ARM_PATH}", tracking_uri=store.uri)
        return [PurePosixPath(file.path).name for file in found]
    return []  # a version made by hand may have any address for its files

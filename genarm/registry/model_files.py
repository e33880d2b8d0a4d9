"""The files of a version: a pyfunc model from code around the ARM's plain folder, stored and fetched."""

import importlib.metadata
import shutil
import tempfile
import warnings
from pathlib import Path

from genarm.errors import RegistryError
from genarm.models import arm as arms
from genarm.registry.store import Store
from genarm.registry.versions import Version, location, model_name
from genarm.system.files import write_json
from genarm.types import ArmCard

ARM = "artifacts/arm"  # the ARM's folder inside the stored model
LOADER = Path(__file__).with_name("pyfunc.py")
NEEDS = ("genarm", "mlflow", "torch", "transformers", "peft")
SETTINGS = ("weight", "temperature", "max_new_tokens", "seed")  # of a request, where it gives them


def upload(store: Store, card: ArmCard, folder: Path, model_id: str, run_id: str) -> None:
    """The ARM's folder as a pyfunc model from code; signature and requirements are stated, not inferred."""
    import pandas as pd
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    with warnings.catch_warnings():  # on import, MLflow warns of type hints of its own
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.pyfunc
    asked = [ColSpec("string", "prompt")]
    # Any type: as a number MLflow would refuse `2` for a double, and a missing value for a long.
    asked += [ColSpec(AnyType(), name, required=False) for name in SETTINGS]
    answered = [ColSpec("string", "response"), ColSpec("long", "tokens"), ColSpec("string", "finish_reason")]
    with tempfile.TemporaryDirectory() as place:
        arm, out = Path(place) / "arm", Path(place) / "model"
        arm.mkdir()
        for name in arms.files(folder):
            shutil.copyfile(folder / name, arm / name)
        write_json(arm / arms.CARD, card)  # with the weight it is tried at, which the folder's may not be
        mlflow.pyfunc.save_model(
            str(out),
            mlflow_model=Model(
                artifact_path=store.client.get_logged_model(model_id).artifact_location,
                model_uuid=model_id,
                model_id=model_id,
                run_id=run_id,
            ),
            python_model=str(LOADER),
            artifacts={"arm": str(arm)},
            model_config={"base": "", "dtype": "bfloat16", "batch_size": 32},
            signature=ModelSignature(Schema(asked), Schema(answered)),  # type: ignore[arg-type]
            input_example=pd.DataFrame([{"prompt": "Tell me about rain.", "max_new_tokens": 32}]),
            pip_requirements=_requirements(),
            metadata={
                "dimension": card.dimension,
                "base_id": card.model_id,
                "adapter_sha256": card.adapter_sha256,
            },
        )
        store.client.log_model_artifacts(model_id, str(out))


def _requirements() -> list[str]:
    found = []
    for name in NEEDS:
        try:
            found.append(f"{name}=={importlib.metadata.version(name).partition('+')[0]}")
        except importlib.metadata.PackageNotFoundError:
            continue  # genarm run from a source tree without being installed
    return found


def download(store: Store, version: Version, into: Path) -> None:
    """Copy the ARM's folder of a version. Raises RegistryError where its files are gone."""
    from mlflow.artifacts import download_artifacts

    if not has_files(store, version):
        raise RegistryError(
            f"the files of version {version.number} of {model_name(version.dimension)} are gone from "
            f"{location(store, version)}",
            hint="restore that folder, or register the same adapter again: genarm run",
        )
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as place:
        got = download_artifacts(
            artifact_uri=f"{location(store, version)}/{ARM}", dst_path=place, tracking_uri=store.uri
        )
        shutil.rmtree(into, ignore_errors=True)
        Path(got).rename(into)


def has_files(store: Store, version: Version) -> bool:
    """Whether the store still holds the adapter of a version."""
    from mlflow.artifacts import list_artifacts

    found = list_artifacts(artifact_uri=f"{location(store, version)}/{ARM}", tracking_uri=store.uri)
    return any(file.path.endswith(".safetensors") for file in found)

"""What the verdicts of a judge depend on, wherever it lies: its settings, its code and its weights."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genarm.config import JudgeConfig
from genarm.judges import LoadedJudge, load_with_origin
from genarm.judges.check import own_files
from genarm.judges.reward.load import check_trained, model_path, trained_folder
from genarm.models.source import SMALL_FILES
from genarm.models.weights import weights_hash
from genarm.pipeline.kept import code
from genarm.pipeline.preflight.judges import try_out
from genarm.system.files import sha256

CODE = ("judges", "models", "types")  # the parts of the package that judge


def judge_content(config: JudgeConfig, root: Path) -> dict[str, Any]:
    """All that tells a judge from another version of it, for the spec of a unit that asks it.

    A scorer is tried on a short response, so that it has loaded all its files. A language model is not asked:
    its name, its questions and its template are there, and its verdicts say what its server called itself.
    Raises JudgeError where the judge is not there or cannot judge.
    """
    found: dict[str, Any] = {"settings": _settings(config)}
    if config.trained is not None:
        return found | {"sha256": check_trained(config.trained, trained_folder(config.trained, root)).sha256}
    if config.reward_model is not None:
        folder = Path(model_path(config.reward_model, root)).expanduser()
        return found | ({"weights": weights_hash(folder), "files": _small(folder)} if folder.is_dir() else {})
    if config.llm is not None:
        return found | {"files": _hashes(own_files(config, root), root)}
    loaded = load_with_origin(config, root)
    try_out(loaded)
    return found | {"identity": loaded.identity, "files": _hashes(loaded.files, root)}


def loaded_content(loaded: LoadedJudge, config: JudgeConfig, root: Path) -> dict[str, Any]:
    """The same of a judge that is loaded: a hub's model may have moved on, and code been changed since."""
    return {**judge_content(config, root), "loaded": loaded.identity, "code": code(*CODE)}


def shown_identity(identity: str, config: JudgeConfig) -> str:
    """Who judges, without the folder of this machine that a reward model lies in."""
    if config.reward_model is None:
        return identity
    return identity.replace(config.reward_model.model, _name(config.reward_model.model))


def _settings(config: JudgeConfig) -> Mapping[str, Any]:
    found = config.model_dump(mode="json")
    if config.reward_model is not None:
        found["reward_model"]["model"] = _name(config.reward_model.model)
    return found


def _name(model: str) -> str:
    """A hub id or a folder of the project as it is; of a folder elsewhere its name."""
    path = Path(model).expanduser()
    return path.name if path.is_absolute() else model


def _small(folder: Path) -> str:
    files = sorted({file for pattern in SMALL_FILES for file in folder.glob(pattern)})
    return hashlib.sha256("".join(f"{file.name}:{sha256(file)}\n" for file in files).encode()).hexdigest()


def _hashes(files: list[Path], root: Path) -> dict[str, str]:
    base = root.resolve()
    return {
        (file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name): sha256(file)
        for file in files
    }

"""Checkpoints of one training: kept apart from those of any other, and used only when whole."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from genarm.errors import DataError, TrainingError
from genarm.files import read_json, sha256, write_json

MARKER = "complete.json"
PREFIX = "checkpoint-"  # as transformers names them
FORMAT = 2  # raised when an older checkpoint would go on differently

log = logging.getLogger(__name__)


def training_key(weights: str, settings: object, *data: str) -> str:
    """One name for all that decides the result: weights, settings, token ids, and the libraries' versions.

    `data` are the fingerprints of the token ids.
    """
    libraries = {name: version(name) for name in ("torch", "transformers", "peft")}
    said = json.dumps([FORMAT, weights, settings, libraries, data], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def open_folder(root: Path, key: str) -> Path:
    """The folder of this training; what other trainings left behind is removed.

    Raises TrainingError where it cannot be made.
    """
    folder = root / key
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for other in root.iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
    return folder


def seal(checkpoint: Path) -> None:
    """Note the hash of every file, last of all: a checkpoint without this note was cut short."""
    files = {p.name: sha256(p) for p in sorted(checkpoint.iterdir()) if p.is_file() and p.name != MARKER}
    write_json(checkpoint / MARKER, files)


def newest(folder: Path) -> Path | None:
    """The latest whole checkpoint; broken ones are removed with a warning."""
    found = sorted(folder.glob(f"{PREFIX}*"), key=lambda p: int(p.name.removeprefix(PREFIX)), reverse=True)
    for checkpoint in found:
        if _is_whole(checkpoint):
            return checkpoint
        log.warning("%s was cut short or altered; it is not used", checkpoint)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        files = read_json(checkpoint / MARKER, dict[str, str])
        return all(sha256(checkpoint / name) == digest for name, digest in files.items())
    except (DataError, OSError):
        return False


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever goes wrong on the disk becomes a TrainingError that names the path."""
    from safetensors import SafetensorError

    try:
        yield
    # torch.save reports a failed write as a RuntimeError
    except (OSError, SafetensorError, RuntimeError) as error:
        where = getattr(error, "filename", None) or path
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise TrainingError(
            f"cannot write {where}: {reason}",
            hint="free some space or make the folder writable, then run again",
        ) from error

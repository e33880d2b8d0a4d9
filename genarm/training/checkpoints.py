"""Checkpoints of one training: kept apart from those of any other, and used only when complete."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genarm.errors import DataError, TrainingError
from genarm.system.files import read_json, sha256, to_json, write_json
from genarm.training.process_group import barrier, is_main_process

HASHES = "complete.json"  # of a checkpoint's files
INPUTS = "training.json"  # what decides the result of the training
PREFIX = "checkpoint-"  # as transformers names them
FORMAT = 2  # raised when training would continue differently from an older checkpoint

log = logging.getLogger(__name__)


def training_key(weights: str, settings: object, *data: str) -> str:
    """A hash of everything that decides the result: weights, settings, token ids, and library versions.

    `data` are the fingerprints of the token ids.
    """
    libraries = {name: version(name) for name in ("torch", "transformers", "peft")}
    inputs = json.dumps([FORMAT, weights, settings, libraries, data], sort_keys=True)
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]


def open_folder(root: Path, key: str, inputs: Mapping[str, Any] | None = None) -> Path:
    """The folder for the checkpoints of this training, by its key.

    `inputs` are stored beside them, so that a later training can say in what it differs. Checkpoints of
    another training are not used: a warning names the difference. The newest of them stay until a training
    ends, in case its parameters are restored. Raises TrainingError where the folder cannot be made.
    """
    folder = root / key
    if is_main_process():
        with disk_errors_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
            others = [p for p in root.iterdir() if p != folder]
            usable = [p for p in others if (p / INPUTS).is_file() and newest_complete(p)]
            kept = max(usable, key=lambda p: (p / INPUTS).stat().st_mtime, default=None)
            for other in others:
                if other != kept:
                    shutil.rmtree(other, ignore_errors=True)
            if inputs is not None:
                write_json(folder / INPUTS, inputs)
                if kept and not newest_complete(folder):
                    log.warning(
                        "%s belongs to another training and is not used (%s); training starts from step 0",
                        newest_complete(kept),
                        difference(read_json(kept / INPUTS, dict[str, Any]), json.loads(to_json(inputs))),
                    )
    barrier()
    return folder


def clear(root: Path) -> None:
    """Remove all checkpoints: the training is done."""
    if is_main_process():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True, exist_ok=True)


def difference(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> str:
    """What has changed, such as `settings.beta 0.1, now 0.2`."""
    changes = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if inner := difference(old, new, f"{prefix}{name}."):
                changes.append(inner)
        elif old != new:
            changes.append(f"{prefix}{name} {old}, now {new}")
    return "; ".join(changes)


def checkpoint_at(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"{PREFIX}{step}"


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was taken."""
    return int(checkpoint.name.removeprefix(PREFIX))


def mark_complete(checkpoint: Path) -> None:
    """Write the hash of every file, last of all: a checkpoint without this list was cut short."""
    files = {p.name: sha256(p) for p in sorted(checkpoint.iterdir()) if p.is_file() and p.name != HASHES}
    write_json(checkpoint / HASHES, files)


def newest_complete(folder: Path) -> Path | None:
    """The latest complete checkpoint; broken ones are removed with a warning."""
    for checkpoint in sorted(folder.glob(f"{PREFIX}*"), key=step_of, reverse=True):
        if _is_complete(checkpoint):
            return checkpoint
        log.warning("%s was cut short or altered; it is not used", checkpoint)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def _is_complete(checkpoint: Path) -> bool:
    try:
        files = read_json(checkpoint / HASHES, dict[str, str])
        return all(sha256(checkpoint / name) == digest for name, digest in files.items())
    except (DataError, OSError):
        return False


@contextmanager
def complete_or_removed(folder: Path, step: int) -> Iterator[None]:
    """Remove a checkpoint whose writing fails, as on a full disk; the one before it stays."""
    try:
        yield
    except BaseException as error:
        shutil.rmtree(checkpoint_at(folder, step), ignore_errors=True)
        if isinstance(error, TrainingError):
            before = newest_complete(folder)
            kept = f"the checkpoint of step {step_of(before)} is kept" if before else "no checkpoint is left"
            raise TrainingError(f"{error.message}; {kept}", hint=error.hint) from error
        raise


@contextmanager
def disk_errors_named(path: Path) -> Iterator[None]:
    """Turn the error of a failed write, by any of the libraries, into a TrainingError that names the path.

    The only place that knows how each of them reports it: Python by OSError, safetensors by SafetensorError,
    torch.save by RuntimeError, whose message is quoted and not read.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        where = getattr(error, "filename", None) or path
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise TrainingError(
            f"cannot write {where}: {reason}",
            hint="free some space or make the folder writable, then run again",
        ) from error

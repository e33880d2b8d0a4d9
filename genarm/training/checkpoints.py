"""Checkpoints of one training: kept apart from those of any other, and used only when whole."""

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
from genarm.training import process_group as ranks

MARKER = "complete.json"
SAID = "training.json"
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


def open_folder(root: Path, key: str, said: Mapping[str, Any] | None = None) -> Path:
    """The folder of this training; `said` is all that decides its result, for a later one to compare with.

    Checkpoints of another training are refused: this one starts anew, and says in what they differ. The
    newest of them stay until a training ends, should its parameters be meant after all.
    Raises TrainingError where the folder cannot be made.
    """
    folder = root / key
    if ranks.is_first():
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            others = [p for p in root.iterdir() if p != folder]
            usable = [p for p in others if (p / SAID).is_file() and newest(p)]
            kept = max(usable, key=lambda p: (p / SAID).stat().st_mtime, default=None)
            for other in others:
                if other != kept:
                    shutil.rmtree(other, ignore_errors=True)
            if said is not None:
                write_json(folder / SAID, said)
                if kept and not newest(folder):
                    log.warning(
                        "%s is not gone on from, it is of another training: %s; this one starts anew",
                        newest(kept),
                        difference(read_json(kept / SAID, dict[str, Any]), json.loads(to_json(said))),
                    )
    ranks.wait()
    return folder


def clear(root: Path) -> None:
    """Remove all checkpoints: the training is done."""
    if ranks.is_first():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True, exist_ok=True)


def difference(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> str:
    """What was changed, such as `settings.beta 0.1, now 0.2`."""
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if inner := difference(old, new, f"{prefix}{name}."):
                found.append(inner)
        elif old != new:
            found.append(f"{prefix}{name} {old}, now {new}")
    return "; ".join(found)


def seal(checkpoint: Path) -> None:
    """Note the hash of every file, last of all: a checkpoint without this note was cut short."""
    files = {p.name: sha256(p) for p in sorted(checkpoint.iterdir()) if p.is_file() and p.name != MARKER}
    write_json(checkpoint / MARKER, files)


def newest(folder: Path) -> Path | None:
    """The latest whole checkpoint; broken ones are removed with a warning."""
    for checkpoint in sorted(folder.glob(f"{PREFIX}*"), key=step_of, reverse=True):
        if _is_whole(checkpoint):
            return checkpoint
        log.warning("%s was cut short or altered; it is not used", checkpoint)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def step_of(checkpoint: Path) -> int:
    """The step after which it was taken."""
    return int(checkpoint.name.removeprefix(PREFIX))


@contextmanager
def whole_or_none(folder: Path, step: int) -> Iterator[None]:
    """What cannot be written, as on a full disk, is taken away again; the checkpoint before it stays."""
    try:
        yield
    except BaseException as error:
        shutil.rmtree(folder / f"{PREFIX}{step}", ignore_errors=True)
        if isinstance(error, TrainingError):
            before = newest(folder)
            kept = f"the checkpoint of step {step_of(before)} is whole" if before else "no checkpoint is left"
            raise TrainingError(f"{error.message}; {kept}", hint=error.hint) from error
        raise


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

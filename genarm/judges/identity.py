"""Who judges: the name of a scorer and the version of what computes it, as a report shows it."""

import hashlib
import importlib
import inspect
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

from genarm.config import JudgeConfig
from genarm.system.files import sha256

# Built-in scorers that another library computes; the others are genarm's own.
LIBRARIES = {
    "positive": "vaderSentiment",
    "plain": "textstat",
    "textblob": "textblob",
    "dale_chall": "textstat",
}


def scorer_identity(
    config: JudgeConfig,
    *,
    version: str | None = None,
    package: str | None = None,
    files: Sequence[Path] = (),
) -> str:
    """`positive, vaderSentiment 3.3.2`; of a scorer of one's own, its files and the start of their sha256.

    `version` is what the scorer calls its version, `files` are those that it was loaded from; by default the
    file of its module. Of one that was installed with a `package`, its name and version.
    """
    if ":" not in config.name:
        library = LIBRARIES.get(config.name, "genarm")
        return f"{config.name}, {library} {_version(library)}"
    if package:
        return f"{config.name}, {package} {version}"
    files = files or _source(config.name.partition(":")[0])
    parts = [config.name, *([f"version {version}"] if version else [])]
    if files:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        parts.append(f"{files[0].name}{more} sha256 {_digest(files)[:12]}")
    return ", ".join(parts)


def _source(module: str) -> list[Path]:
    """The file of a module; none where it has no source, as one in C."""
    try:
        file = inspect.getsourcefile(importlib.import_module(module))
    except (ImportError, TypeError):
        return []
    return [Path(file)] if file and Path(file).is_file() else []


def _digest(files: Sequence[Path]) -> str:
    """The sha256 of a file; of several, that of theirs, one after another."""
    hashes = [sha256(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _version(library: str) -> str:
    try:
        return version_of(library)
    except PackageNotFoundError:
        return "of unknown version"

"""Who judges: the name of a scorer and the version of what computes it, as a report shows it."""

import importlib
import inspect
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from genarm.config import ScorerConfig
from genarm.system.files import sha256

# Built-in scorers that another library computes; the others are genarm's own.
LIBRARIES = {"positive": "vaderSentiment", "plain": "textstat"}


def scorer_identity(config: ScorerConfig) -> str:
    """`positive, vaderSentiment 3.3.2`; of a scorer of one's own, its file and the start of its sha256."""
    if ":" not in config.scorer:
        library = LIBRARIES.get(config.scorer, "genarm")
        return f"{config.scorer}, {library} {_version(library)}"
    try:
        file = inspect.getsourcefile(importlib.import_module(config.scorer.partition(":")[0]))
    except TypeError:
        file = None  # a module in C has no source
    if file is None or not Path(file).is_file():
        return f"{config.scorer}, no source file"
    return f"{config.scorer}, {Path(file).name} sha256 {sha256(Path(file))[:12]}"


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "of unknown version"

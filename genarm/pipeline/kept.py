"""Rows that were made before and need not be made again: the answers and verdicts of earlier looks.

They lie in `.cache/kept` under a hash of everything that they depend on, each file with the hash of its rows.
Whatever changes leaves them unused; what is damaged is made again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import genarm
from genarm.errors import DataError
from genarm.pipeline.project import Project
from genarm.system.files import read_rows, sha256, write_rows, write_text

T = TypeVar("T")
PACKAGE = Path(genarm.__file__).parent
LIBRARIES = ("torch", "transformers", "peft")


def kept(
    project: Project, what: str, depends_on: Mapping[str, Any], kind: type[T], make: Callable[[], list[T]]
) -> list[T]:
    """The rows that were made under the same `depends_on`; else those that `make` makes, which are kept."""
    text = json.dumps([what, depends_on], sort_keys=True, default=str, ensure_ascii=False)
    file = project.layout.kept / f"{what}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"
    noted = file.with_suffix(".sha256")
    try:
        if noted.is_file() and file.is_file() and noted.read_text(encoding="ascii") == sha256(file):
            return read_rows(file, kind)
    except (DataError, ValueError):  # no ASCII: damaged
        pass
    rows = make()
    write_rows(file, rows)
    write_text(noted, sha256(file))
    return rows


def forget(project: Project) -> None:
    """Remove what was kept: no look follows, and DVC has the files of every stage."""
    for file in project.layout.kept.glob("*"):
        file.unlink(missing_ok=True)


@cache
def code(*parts: str) -> str:
    """A hash of the Python files of these parts of the package, and of the libraries that compute text.

    Raises ValueError for a part that holds no file: it was renamed, and changes of it would go unnoticed.
    """
    digest = hashlib.sha256(json.dumps([version(name) for name in LIBRARIES]).encode())
    for file in _files(parts):
        digest.update(f"{file.relative_to(PACKAGE)}:{sha256(file)}\n".encode())
    return digest.hexdigest()


def _files(parts: Iterable[str]) -> list[Path]:
    found = set[Path]()
    for part in parts:
        files = [PACKAGE / part] if "." in part else (PACKAGE / part).rglob("*")
        of_part = [file for file in files if file.is_file() and file.suffix != ".pyc"]
        if not of_part:
            raise ValueError(f"genarm/{part} has no files")
        found.update(of_part)
    return sorted(found)

"""A store of files, in a folder or behind s3://: what it holds, copied out and in. Nothing is overwritten.

Keys are read from the environment: AWS_*.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genarm.errors import ConfigError, GenarmError, PipelineError, Unreachable
from genarm.operations.backup.sums import below
from genarm.system.redact import redact


def refuse_missing(address: str, variable: str) -> None:
    """Raise ConfigError where there is no such store: a misspelt one would be one without files."""
    with _store(address) as (system, root):
        if not system.exists(root):
            raise ConfigError(
                f"{variable}: there is nothing at {redact(address)}",
                hint="name the folder or bucket as its server does; a bucket has to be made first",
            )


def sizes(address: str) -> dict[str, int]:
    """The bytes of every file of a store, by its name there."""
    with _store(address) as (system, root):
        entries = system.find(root, detail=True)
    return {name.removeprefix(root).lstrip("/"): int(info["size"]) for name, info in entries.items()}


def fetch(address: str, names: Iterable[str], folder: Path) -> None:
    """Copy these files of a store into a folder. Raises Unreachable where that fails."""
    names = sorted(names)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if names:
        with _store(address) as (system, root):
            system.get([f"{root.rstrip('/')}/{name}" for name in names], [str(folder / n) for n in names])


def refuse_files(address: str) -> None:
    """Raise PipelineError where a store holds anything."""
    if held := sizes(address):
        raise PipelineError(
            f"{redact(address)} is not empty: it holds {len(held)} files, such as {next(iter(held))}",
            hint="move them away, or make a new bucket; a backup never overwrites",
        )


def missing(folder: Path, address: str) -> list[str]:
    """The files of a folder that a store lacks. Raises PipelineError where one there has another size."""
    held, lacking = sizes(address), []
    for name in below(folder):
        size = (folder / name).stat().st_size
        if name not in held:
            lacking.append(name)
        elif held[name] != size:
            raise PipelineError(
                f"{name} at {redact(address)} has {held[name]} bytes, and {size} in the backup",
                hint="remove the one there, which is damaged; a backup never overwrites",
            )
    return lacking


def send(folder: Path, names: Iterable[str], address: str) -> None:
    """Copy these files of a folder into a store. Raises Unreachable where that fails."""
    names = sorted(names)
    if not names:
        return
    with _store(address) as (system, root):
        there = [f"{root.rstrip('/')}/{name}" for name in names]
        if "file" in system.protocol:
            for parent in {name.rpartition("/")[0] for name in there}:
                system.makedirs(parent, exist_ok=True)
        system.put([str(folder / name) for name in names], there)


@contextmanager
def _store(address: str) -> Iterator[tuple[Any, str]]:
    """The file system of an address and the path in it."""
    from fsspec.core import url_to_fs

    try:
        yield url_to_fs(address, use_listings_cache=False) if "://" in address else url_to_fs(address)
    except GenarmError:
        raise
    except ImportError as error:
        raise ConfigError(f"{redact(address)}: {error}", hint="pip install 'genarm[stores]'") from None
    except Exception as error:  # of whichever client
        words = " ".join(str(error).split())
        raise Unreachable(
            f"the files at {redact(address)} failed: {type(error).__name__}: {redact(words)}",
            hint="see that the store answers and its keys are right, and that no file was removed meanwhile",
        ) from None

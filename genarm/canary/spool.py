"""What both sides answered to one prompt, on its way from the server to the judge: a file each.

The files hold what people wrote. So their folder is for its owner alone, a file is removed once it is judged,
and there are never more than MOST. Where nobody judges, nothing more is kept.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genarm.errors import DataError
from genarm.system.files import read_json, write_json
from genarm.types import Prompt, Response

MOST = 500


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt and the answers of both sides, drawn with the same seed and settings."""

    prompt: Prompt
    challenger: Response
    champion: Response


def keep(folder: Path, trial: str, pair: Pair) -> bool:
    """Keep a pair of a trial, given by its key; whether there was room."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    mine = folder / trial
    mine.mkdir(exist_ok=True)
    if sum(1 for _ in mine.glob("*.json")) >= MOST:
        return False
    write_json(mine / f"{pair.prompt.id}.json", pair)
    return True


def waiting(folder: Path, trial: str) -> Iterator[tuple[Path, Pair]]:
    """The pairs of a trial that wait for a judge; one that cannot be read is removed."""
    for file in sorted((folder / trial).glob("*.json")):
        try:
            yield file, read_json(file, Pair)
        except DataError:
            file.unlink(missing_ok=True)


def forget_others(folder: Path, trial: str) -> None:
    """Remove the pairs of all other trials; the empty text names none."""
    for other in folder.iterdir() if folder.is_dir() else ():
        if other.is_dir() and other.name != trial:
            shutil.rmtree(other, ignore_errors=True)

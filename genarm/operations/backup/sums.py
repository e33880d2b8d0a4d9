"""The SHA-256 of every file of a backup, in the form that `sha256sum --check` reads."""

from collections.abc import Mapping
from pathlib import Path

from genarm.errors import PipelineError
from genarm.system.files import sha256, write_text

SUMS, UNFINISHED = "sha256sums", ".part"


def below(folder: Path) -> list[str]:
    """The names of all files of a folder."""
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def write(folder: Path, known: Mapping[str, str]) -> None:
    """Note the hash of each file; of some it is `known` already."""
    lines = (f"{known.get(name) or sha256(folder / name)}  {name}\n" for name in below(folder))
    write_text(folder / SUMS, "".join(lines))


def noted(folder: Path) -> dict[str, str]:
    """The hashes that a backup was saved with, by name. Raises PipelineError where it has none."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").split("\n")[:-1]
    except OSError as error:
        cut = f"; {folder.name} was not finished" if folder.name.endswith(UNFINISHED) else ""
        raise PipelineError(
            f"{folder} is no backup: {SUMS} cannot be read: {error.strerror}{cut}",
            hint="name a folder that `make backup` printed",
        ) from None
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def check(folder: Path) -> int:
    """Compare every file of a backup with its hash; returns how many there are.

    Raises PipelineError naming the first that differs, is missing or was added.
    """
    digests, there = noted(folder), {*below(folder)} - {SUMS}
    for name in sorted(digests.keys() ^ there):
        what = "is missing" if name in digests else f"is not in {SUMS}"
        raise PipelineError(
            f"{folder / name} {what}", hint="take another backup, or another copy of this one"
        )
    for name, digest in digests.items():
        if (found := sha256(folder / name)) != digest:
            raise PipelineError(
                f"{folder / name} was altered or cut short: it had sha256 {digest[:12]}, now {found[:12]}",
                hint="take another backup, or another copy of this one",
            )
    return len(digests)

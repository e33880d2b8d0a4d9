"""Sources on this machine: a file, a folder or a glob; a relative one is read from the project's folder."""

from pathlib import Path

from genarm.data.files import gathered, shown
from genarm.data.sources import gather_local
from genarm.errors import DataError


def listed(path: str, root: Path) -> dict[str, str]:
    """The files with size and time of change. Raises DataError where there is none, or no right to look."""
    try:
        found = gathered(_from(root, path), tell=False)
        return {name.as_posix(): _mark(file) for name, file in found.items()}
    except OSError as error:
        raise DataError(
            f"{shown(Path(error.filename or path))}: {error.strerror}",
            hint="check that the file is there, and its rights",
        ) from None


def fetch(path: str, folder: Path, root: Path) -> None:
    """Copy all of it. Raises DataError where a file cannot be read."""
    gather_local(_from(root, path), folder)


def _from(root: Path, path: str) -> str:
    # Joined as texts: a Path would drop what a glob may end in.
    return path if path.startswith(("/", "~")) else f"{root}/{path}"


def _mark(file: Path) -> str:
    state = file.stat()
    return f"{state.st_size}-{state.st_mtime_ns}"

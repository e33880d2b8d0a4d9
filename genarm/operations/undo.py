"""Files that were written together: all of them stay, or none."""

import shutil
from pathlib import Path
from types import TracebackType

MADE = (
    ".git",
    ".dvc",
    ".cache",
    "mlflow",
    "data",
    "data.dvc",
)  # what is made in a project beside noted files


class Undo:
    """A folder in which files are written: where that fails, it is as it was, or gone if it was not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before: dict[Path, bytes | None] = {}
        self._first = next((f for f in reversed((folder, *folder.parents)) if not f.exists()), None)
        self._present = {name for name in MADE if (folder / name).exists()}

    def note(self, file: Path) -> None:
        """Keep what a file holds before it is written."""
        self._before.setdefault(file, file.read_bytes() if file.exists() else None)

    def __enter__(self) -> "Undo":
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if self._first is not None:
            shutil.rmtree(self._first, ignore_errors=True)
            return
        for file, content in self._before.items():
            if content is None:
                file.unlink(missing_ok=True)
            else:
                file.write_bytes(content)
        for name in set(MADE) - self._present:
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

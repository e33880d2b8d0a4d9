"""Free space, and permission to write where the pipeline writes."""

import os
import shutil
from pathlib import Path

from genarm.doctor.result import CheckResult, fail, ok, warn
from genarm.system.layout import Layout

GIB = 1 << 30
ENOUGH, TIGHT = 5 * GIB, GIB


def room(root: Path) -> list[CheckResult]:
    """Check free space and write permission in the folders of the project."""
    artifacts = Layout(root).artifacts
    for folder in (root, artifacts, root / "mlflow", root / ".dvc", root / ".cache"):
        if folder.is_dir() and not writable(folder):
            return [fail("disk", f"{folder} cannot be written to", f"chmod u+wx {folder}")]
    free = free_bytes(root)
    detail = f"artifacts/ holds {gib(used_bytes(artifacts))}, {gib(free)} free"
    if free >= ENOUGH:
        return [ok("disk", detail)]
    return [(fail if free < TIGHT else warn)("disk", detail, "dvc gc --workspace")]


def writable(folder: Path) -> bool:
    """Whether files can be created in a folder."""
    return os.access(folder, os.W_OK | os.X_OK)


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(p for p in (path, *path.parents) if p.exists())


def free_bytes(folder: Path) -> int:
    """Free space where a folder is, or would be."""
    return shutil.disk_usage(existing(folder)).free


def used_bytes(folder: Path) -> int:
    """The size of all files below a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


def gib(size: int) -> str:
    """A size in bytes as people read it."""
    return f"{size / GIB:.1f} GiB"

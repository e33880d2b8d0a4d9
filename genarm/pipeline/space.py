"""Space on disk: how much is used, how much is free, and a size as people read it."""

import shutil
from pathlib import Path

GIB = 1 << 30


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(p for p in (path, *path.parents) if p.exists())


def free_bytes(folder: Path) -> int:
    """Free space where a folder is, or would be."""
    return shutil.disk_usage(existing(folder)).free


def used_bytes(folder: Path) -> int:
    """The size of all files below a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


def gib(size: float) -> str:
    """A size in bytes as people read it."""
    return f"{size / GIB:.1f} GiB"

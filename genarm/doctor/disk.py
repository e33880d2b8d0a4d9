"""Free space, and permission to write where the pipeline writes."""

import os
from pathlib import Path

from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.space import GIB, free_bytes, gib, used_bytes
from genarm.system.layout import Layout

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

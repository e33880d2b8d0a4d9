"""What the last backup has of a DVC remote already: linked into the new one instead of being copied again."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from genarm.operations.backup.sums import SUMS, noted
from genarm.system.files import sha256

REMOTE = "dvc"  # the folder of the remote's objects in a backup


def newest(above: Path) -> Path | None:
    """The last backup below a folder that holds a DVC remote and was finished."""
    found = sorted(folder.parent for folder in above.glob(f"*Z/{REMOTE}"))
    return next((folder for folder in reversed(found) if (folder / SUMS).is_file()), None)


def link(there: Mapping[str, int], earlier: Path, folder: Path) -> dict[str, str]:
    """Take over the objects of a remote, name -> bytes, that an earlier backup has; returns their hashes.

    DVC names an object by its content, so one of the same name and size is the same. What is damaged in the
    earlier backup is left out. A file system without links gets copies.
    """
    digests, linked = noted(earlier), {}
    for name, size in there.items():
        inside = f"{REMOTE}/{name}"
        kept, digest = earlier / inside, digests.get(inside)
        if digest and kept.is_file() and kept.stat().st_size == size and sha256(kept) == digest:
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(kept, folder / inside)
            except OSError:
                shutil.copyfile(kept, folder / inside)
            linked[inside] = digest
    return linked

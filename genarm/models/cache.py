"""The user's cache folder: converted models, hashes and tokenised pairs. It may be deleted at any time."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$GENARM_CACHE`, or `genarm` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "genarm"
    return Path(os.environ.get("GENARM_CACHE", default))

"""The folder of a project: whether every tool of a run can work in a folder of that name."""

import re
from pathlib import Path

from genarm.errors import ConfigError

# Tried on 2026-11-26: an SQLite address ends at a question mark, MLflow decodes percent escapes of the folder
# that it stores files in, and DVC takes braces for places to fill in. Other signs, spaces and letters work.
_UNUSABLE = re.compile(r"\?|%[0-9A-Fa-f]{2}|[{}]|[\x00-\x1f]")


def check_root(root: Path) -> None:
    """Refuse a project's folder that MLflow, Prefect or DVC would take for another one, by ConfigError."""
    if found := _UNUSABLE.search(str(root)):
        raise ConfigError(
            f"a project cannot lie in {str(root)!r}: MLflow, Prefect or DVC reads {found[0]!r} as more than "
            "a part of a name",
            hint="rename the folder; spaces, other signs and all letters are fine",
        )

"""Versions of any kind as what answers: ARMs, soups, which are ARMs, and best of n.

Whoever serves a version opens it here, and need not know the methods that genarm is compared with.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.baselines.best_of_folder import BestOf, best_of
from genarm.baselines.choosing import Choosing, load_served
from genarm.errors import RegistryError
from genarm.models import ModelSource

if TYPE_CHECKING:
    from genarm.baselines.best_of_n import BestOfN as BestOfN
    from genarm.decoding import GuidedDecoder

__all__ = ["BestOf", "Choosing", "best_of", "open_served", "refuse_best_of"]


def open_served(source: ModelSource, folders: Mapping[str, Path], **options: Any) -> "GuidedDecoder":
    """The decoder of a base and these versions' folders; `options` are of `load_decoder`."""
    return load_served(source, folders, **options)


def refuse_best_of(folder: Path, version: str, what: str, hint: str) -> None:
    """Raise RegistryError where a folder holds no ARM but best of n, for `what` needs an ARM."""
    if (found := best_of(folder)) is not None:
        raise RegistryError(f"{version} is {found}, and {what}", hint=hint)

"""genarm: test-time alignment of frozen language models with autoregressive reward models."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if not TYPE_CHECKING:  # a type checker shall go on reporting names that do not exist

    def __getattr__(name: str) -> object:
        """`arms`, which the code stored with older model versions imports from here; nothing else does."""
        if name == "arms":
            # Imported by name: what a stage depends on is computed from imports, and no stage needs this one.
            return import_module("genarm.registry.pyfunc_api").StoredBefore
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""genarm: test-time alignment of frozen language models with autoregressive reward models."""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`arms`, which the code stored with older model versions imports from here; nothing else does."""
    from importlib import import_module  # by name: a static import would make every stage depend on it

    if name == "arms":
        return import_module("genarm.registry.pyfunc_api").StoredBefore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Base models, tokenizers and ARMs on disk: found, loaded, hashed, rendered for."""

from genarm.models.source import (
    EMBEDDED,
    DeviceMap,
    ModelSource,
    cache_folder,
    context_of,
    conversion,
    embedded_file,
    load_model,
    load_tokenizer,
    render,
    resolve,
    tokenizer_hash,
    weights_hash,
)

__all__ = [
    "EMBEDDED",
    "DeviceMap",
    "ModelSource",
    "cache_folder",
    "context_of",
    "conversion",
    "embedded_file",
    "load_model",
    "load_tokenizer",
    "render",
    "resolve",
    "tokenizer_hash",
    "weights_hash",
]

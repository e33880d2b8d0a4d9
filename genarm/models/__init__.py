"""Base models, tokenizers and ARMs on disk: found, hashed, loaded, and prompts rendered for them."""

from genarm.models.cache import cache_folder
from genarm.models.chat_template import render
from genarm.models.gguf import EMBEDDED, conversion, embedded_file
from genarm.models.load import DeviceMap, context_of, load_model, load_tokenizer, load_whole
from genarm.models.source import ModelSource, model_kind, resolve, small_files, tokenizer_hash
from genarm.models.weights import weights_hash

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
    "load_whole",
    "model_kind",
    "render",
    "resolve",
    "small_files",
    "tokenizer_hash",
    "weights_hash",
]

"""The size of a model as its files tell it: parameters, layers, widths. Nothing is loaded."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from genarm.config import LoraConfig
from genarm.errors import ModelError
from genarm.models.model_files import CONFIG, read_mapping
from genarm.models.weights import weight_files

_LAYER = re.compile(r"\.(\d+)\.")
# The names that families of transformers give to one number.
LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
HIDDEN = ("hidden_size", "n_embd", "d_model")
HEADS = ("num_attention_heads", "n_head", "num_heads")
CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len")


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What memory depends on. `tensors` are the shapes of the weights by name; `kv_width` is of one layer's
    keys for one token; `context` is None where the configuration names none.
    """

    tensors: Mapping[str, tuple[int, ...]]
    layers: int
    hidden: int
    kv_width: int
    vocabulary: int
    context: int | None

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(prod(shape) for shape in self.tensors.values())

    def lora_parameters(self, config: LoraConfig) -> int:
        """The weights of an adapter: rank * (in + out) for each adapted matrix of the top layers."""
        lowest = 0 if config.layers == "all" else self.layers - config.layers
        return sum(
            config.rank * sum(shape)
            for name, shape in self.tensors.items()
            if len(shape) == 2
            and (layer := _LAYER.search(name))
            and int(layer[1]) >= lowest
            and (config.targets == "all-linear" or name.split(".")[-2] in config.targets)
        )


@cache
def read_shape(folder: Path) -> ModelShape | None:
    """The shape of the model in a folder; None where its files do not tell it, or cannot be read."""
    try:
        config = read_mapping(folder / CONFIG)
        tensors = {n: s for file in weight_files(folder) for n, s in _header(file).items()}
    except (ModelError, OSError, ValueError):
        return None  # reported by the check of the model
    config = config.get("text_config") or config
    layers, hidden, heads = (_first(config, names) for names in (LAYERS, HIDDEN, HEADS))
    if not (layers and hidden and heads):
        return None
    kv_heads = config.get("num_key_value_heads") or heads
    width = config.get("head_dim") or hidden // heads
    return ModelShape(
        tensors, layers, hidden, kv_heads * width, config.get("vocab_size") or 0, _first(config, CONTEXT)
    )


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)


def _header(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes in the header of a safetensors file: its length in 8 bytes, then JSON."""
    with file.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}

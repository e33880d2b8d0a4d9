"""Which ARMs an engine has, and from which layer on each of them has rows of its own.

It is told in vLLM's `additional_config`:

    {"genarm": {"arms": {"positive": "FOLDER"}, "max_rank": 16, "first_layer": {"positive": 20},
                "tokens": 49152}}

`max_rank` and `first_layer` leave room for versions to come, beyond what the folders need. Ids from `tokens`
on only pad the vocabulary and are never drawn.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genarm.decoding.runner.adapter_files import PREFIX, Adapter, read_adapter
from genarm.errors import AdapterError, ConfigError
from genarm.models.arm import CARD, read_card

KEY = "genarm"
FIELDS = ("arms", "max_rank", "first_layer", "tokens")
# The linear modules of a layer, and what vLLM joined in each.
LINEAR = {
    ("self_attn", "qkv_proj"): ("q_proj", "k_proj", "v_proj"),
    ("self_attn", "o_proj"): ("o_proj",),
    ("mlp", "gate_up_proj"): ("gate_proj", "up_proj"),
    ("mlp", "down_proj"): ("down_proj",),
}
MODULE = re.compile(r"model\.layers\.(\d+)\.(self_attn|mlp)\.(\w+)")


@dataclass(frozen=True, slots=True)
class GuidedArm:
    """An ARM of the engine: the layers from `first_layer` on have rows of it."""

    name: str
    folder: Path
    first_layer: int


@dataclass(frozen=True, slots=True)
class ArmLayout:
    """The ARMs in the order of their rows: the lowest first layer first, so that rows are only ever added."""

    arms: tuple[GuidedArm, ...]
    max_rank: int
    tokens: int | None

    @property
    def names(self) -> tuple[str, ...]:
        """The ARMs' names, in the order of their rows."""
        return tuple(arm.name for arm in self.arms)

    def arms_at(self, layer: int) -> int:
        """How many ARMs have rows in this layer."""
        return sum(arm.first_layer <= layer for arm in self.arms)


def read_layout(additional_config: Mapping[str, Any]) -> ArmLayout:
    """The layout that a configuration asks for, its folders read.

    Raises ConfigError for a setting that makes no sense, AdapterError for a folder that is no plain LoRA.
    """
    told = additional_config.get(KEY)
    if not isinstance(told, Mapping) or not isinstance(told.get("arms"), Mapping):
        raise ConfigError(
            f"additional_config has no {KEY!r} with 'arms'",
            hint='vllm serve BASE --additional-config \'{"genarm": {"arms": {"positive": "FOLDER"}}}\'',
        )
    if unknown := sorted(set(told) - set(FIELDS)):
        raise ConfigError(f"{KEY}.{unknown[0]} is no setting", hint=f"settings are {', '.join(FIELDS)}")
    folders = {name: Path(folder) for name, folder in told["arms"].items()}
    lowest = dict(told.get("first_layer") or {})
    if strangers := sorted(set(lowest) - set(folders)):
        raise ConfigError(
            f"{KEY}.first_layer names ARM {strangers[0]!r}", hint=f"ARMs: {', '.join(folders) or 'none'}"
        )
    needed = {name: _needs(name, folder) for name, folder in folders.items()}
    arms = [GuidedArm(n, f, min(lowest.get(n, needed[n][0]), needed[n][0])) for n, f in folders.items()]
    rank = max([told.get("max_rank") or 1, *(rank for _, rank in needed.values())])
    return ArmLayout(tuple(sorted(arms, key=lambda arm: arm.first_layer)), rank, told.get("tokens"))


def read_arm(name: str, folder: Path) -> Adapter:
    """The factors of an ARM; where it has a card, its bytes are those that the card was written for.

    Raises AdapterError for what is no plain LoRA.
    """
    if (folder / CARD).is_file():
        read_card(folder)
    adapter = read_adapter(name, folder)
    if adapter.conditioning:
        raise AdapterError(
            f"ARM {name!r} at {folder} is conditioned on a preference vector (PARM)",
            hint="serve it with the built-in engine",
        )
    return adapter


def place_of(name: str, path: str) -> tuple[int, str, str]:
    """'model.layers.3.mlp.up_proj' -> (3, 'mlp', 'up_proj'). Raises AdapterError for any other module."""
    if (match := MODULE.fullmatch(path)) is None:
        raise AdapterError(
            f"ARM {name!r} has {tensor(path)}, which is in no decoder layer",
            hint="train an ARM whose LoRA is on linear modules of the decoder layers alone",
        )
    return int(match[1]), match[2], match[3]


def tensor(path: str, factor: str = "A") -> str:
    """The name of a LoRA factor in the file of weights."""
    return f"{PREFIX}{path}.lora_{factor}.weight"


def _needs(name: str, folder: Path) -> tuple[int, int]:
    """First adapted layer and largest rank."""
    factors = read_arm(name, folder).factors
    layers = [place_of(name, path)[0] for path in factors]
    return min(layers), max(down.shape[0] for down, _ in factors.values())

"""The parts of a decoder-only transformers model: its layers, their linear modules and attention windows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from genarm.errors import ConfigError
from genarm.system.counted import counted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FULL, SLIDING = "full_attention", "sliding_attention"


def decoder_layers(model: "PreTrainedModel") -> tuple[str, nn.ModuleList]:
    """The name of the stack of transformer layers, and the stack. Raises ConfigError where there is none."""
    depth = model.config.get_text_config().num_hidden_layers
    for name, module in model.get_decoder().named_children():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return name, module
    raise ConfigError(
        f"{type(model).__name__} has no plain stack of {depth} layers", hint="choose another base model"
    )


@dataclass(frozen=True, slots=True)
class TopLayers:
    """The layers that an adapter goes into: names of their linear modules, and what peft calls the layers.

    `indices` and `pattern` are None where they are all of them.
    """

    linear: list[str]
    indices: list[int] | None
    pattern: str | None


def top_layers(model: "PreTrainedModel", wanted: int | Literal["all"], setting: str) -> TopLayers:
    """The top `wanted` layers. Raises ConfigError, which names the setting, for more than there are."""
    stack, layers = decoder_layers(model)
    if wanted == "all":
        return TopLayers(linear_modules(layers, 0), None, None)
    if not 1 <= wanted <= len(layers):
        raise ConfigError(
            f"{setting} = {wanted}, but the model has {counted(len(layers), 'layer')}",
            hint=f"choose 1 to {len(layers)}, or 'all'",
        )
    lowest = len(layers) - wanted
    return TopLayers(linear_modules(layers, lowest), [*range(lowest, len(layers))], stack)


def linear_modules(layers: nn.ModuleList, lowest: int) -> list[str]:
    """Names below a layer of its linear modules, such as `self_attn.q_proj`, for each layer from `lowest`."""
    from transformers.pytorch_utils import Conv1D

    return [
        name
        for layer in list(layers)[lowest:]
        for name, module in layer.named_modules()
        if isinstance(module, (nn.Linear, Conv1D))
    ]


def attention_windows(config: Any) -> tuple[list[str], list[int | None]]:
    """The kind of attention of each layer, FULL or SLIDING, and how many tokens it sees, itself included.

    `config` is the text model's. None stands for all tokens before. Raises ValueError for any other kind, and
    for attention that is not causal.
    """
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    if kinds is None:  # one kind for all layers: Mistral slides wherever a window is set
        kinds = [FULL if window is None else SLIDING] * config.num_hidden_layers
    if unknown := [kind for kind in kinds if kind not in (FULL, SLIDING)]:
        raise ValueError(f"its layers use {unknown[0]}")
    if getattr(config, "use_bidirectional_attention", False) or not getattr(config, "is_causal", True):
        raise ValueError("its attention is not causal")
    return list(kinds), [window if kind == SLIDING else None for kind in kinds]

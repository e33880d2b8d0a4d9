"""The parts of a decoder-only transformers model: its layers, their linear modules and attention windows."""

from typing import TYPE_CHECKING, Any

from torch import nn

from genarm.errors import ConfigError

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

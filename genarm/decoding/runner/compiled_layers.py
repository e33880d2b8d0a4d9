"""Layers that are compiled once: one code for all layers of a shape, whose weights are its inputs.

Compiled code is bound to what it read of Python while it was compiled, such as the number that each layer has
and the cache's entry of that number, so it would serve no other layer. The compiler is therefore shown layers
without numbers, each with a view of its own keys and values. Only steps of one token are compiled: the pass
over a prompt is bound by arithmetic.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from genarm.decoding.runner.kv_cache import KeyValues
from genarm.decoding.runner.lora_rows import JoinedLinearView, RowContext

VARIANTS = 64  # of the code: rows with adapters and without, one row and several, windows
NUMBER = "layer_idx"  # what transformers' modules call it


def compiled_layers(layers: Sequence[nn.Module], context: RowContext) -> list[Callable[..., Any]]:
    """Layers that run compiled code where a step reads one token."""
    import torch._dynamo  # slow to import, and seldom wanted

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VARIANTS)
    run = torch.compile(_run, dynamic=True)
    return [_CompiledLayer(layer, number, context, run) for number, layer in enumerate(layers)]


def _run(layer: nn.Module, hidden: Tensor, **given: Any) -> Any:
    return layer(hidden, **given)


class _CompiledLayer:
    """The layer of one number."""

    def __init__(self, layer: nn.Module, number: int, context: RowContext, run: Callable[..., Any]) -> None:
        self._layer, self._number, self._context, self._run = layer, number, context, run
        self._unnumbered = _without_numbers(layer)
        views = (module for module in layer.modules() if isinstance(module, JoinedLinearView))
        self._linears = list(dict.fromkeys(view.joined for view in views))

    def __call__(self, hidden: Tensor, *, past_key_values: KeyValues, **given: Any) -> Any:
        """What the layer gives for hidden states [r, q, d]."""
        rows = self._context.rows
        if hidden.shape[1] > 1 or self._number not in past_key_values.layers or rows is None:
            return self._layer(hidden, past_key_values=past_key_values, **given)
        for linear in self._linears:
            linear.mask = rows.mask(linear)
        return self._run(
            self._unnumbered, hidden, past_key_values=past_key_values.layer(self._number), **given
        )


def _without_numbers(module: nn.Module) -> nn.Module:
    """The same module on the same weights, with 0 for the number of its layer."""
    twin: nn.Module = object.__new__(type(module))
    vars(twin).update(vars(module))
    vars(twin)["_modules"] = {
        name: child and _without_numbers(child) for name, child in module._modules.items()
    }
    if NUMBER in vars(twin):
        vars(twin)[NUMBER] = 0
    return twin

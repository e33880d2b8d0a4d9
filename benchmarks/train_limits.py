"""What arithmetic allows: multiply-adds of a pair, counted from parameters, over those this machine does.

    layers    once forward for every token of the shared row; from the lowest adapted layer up once more, for
              the gradient by their inputs. The weights are frozen and take no gradient
    LoRA      rank * (in + out) forward, by inputs and by weights: three times
    head      once forward and once by its input, for every token of a response

Attention over the keys, norms and the optimiser are left out, so nothing can be as fast as that.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from genarm.training.tokens import TokenPair

SQUARE = 2048  # a matrix on which a machine shows what it can
REPEATS = 7


@dataclass(frozen=True, slots=True)
class Work:
    """Multiply-adds of one token in each layer, in each layer's adapters, and in the output head."""

    layers: Sequence[int]
    loras: Sequence[int]
    head: int

    @classmethod
    def of(cls, model: PreTrainedModel, rank: int) -> "Work":
        """The work of a model with LoRA adapters of this rank on all its linear layers."""
        linear = [
            [module for module in layer.modules() if isinstance(module, nn.Linear)]
            for layer in model.get_decoder().layers
        ]
        return cls(
            [sum(module.weight.numel() for module in layer) for layer in linear],
            [sum(rank * (m.in_features + m.out_features) for m in layer) for layer in linear],
            model.get_output_embeddings().weight.numel(),
        )

    def pair(self, pair: TokenPair, lowest: int) -> int:
        """Multiply-adds of one pair in a step whose adapters sit in the layers from `lowest` up."""
        every, adapted = sum(self.layers), sum(self.layers[lowest:])
        loras = 3 * sum(self.loras[lowest:])
        predicted = len(pair.chosen) + len(pair.rejected)
        return (every + adapted + loras) * pair.row_tokens + 2 * self.head * predicted


def fastest_products(model: PreTrainedModel, rows: int) -> float:
    """Multiply-adds a second of the fastest product: of this model's layers, or of large squares."""
    kind = {"device": model.device, "dtype": model.dtype}
    layer = [module for module in model.get_decoder().layers[0].modules() if isinstance(module, nn.Linear)]
    shapes = {(rows, module.in_features, module.out_features) for module in layer} | {(SQUARE,) * 3}
    best = 0.0
    for n, wide, out in sorted(shapes):
        x, weight = torch.randn(n, wide, **kind), torch.randn(out, wide, **kind)
        for _ in range(REPEATS):
            begun = now(model.device)
            nn.functional.linear(x, weight)
            best = max(best, n * wide * out / (now(model.device) - begun))
    return best


def now(device: torch.device) -> float:
    """The clock, when everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()

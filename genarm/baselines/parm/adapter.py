"""The bilinear adapter in a model that trains: PEFT's LoRA with two more matrices in each layer.

PEFT finds the modules, freezes the rest, writes checkpoints and loads them again: the matrices are parameters
of its layers under names that it takes for an adapter's. Only the product is ours. At the vector in force the
layer is the plain LoRA of `genarm.models.bilinear`, so the fused function of plain LoRAs computes it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genarm.config import LoraConfig
from genarm.models.bilinear import BilinearFactors, Conditioning
from genarm.training.lora import add_lora, lora_linear
from genarm.training.transformers_hooks import Forward, replace_forward

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

NAME = "default"  # which peft gives the adapter


class PreferenceVector:
    """The vector [k] that all layers of one model read."""

    def __init__(self, dimensions: int) -> None:
        self.value = torch.full((dimensions,), 1 / dimensions)

    @contextmanager
    def at(self, value: Tensor) -> Iterator[None]:
        """Let the model be at this vector inside the block."""
        before, self.value = self.value, value
        try:
            yield
        finally:
            self.value = before


def add_bilinear(
    model: "PreTrainedModel", lora: LoraConfig, conditioning: Conditioning, seed: int
) -> tuple["PeftModel", PreferenceVector]:
    """Put fresh bilinear adapters into a model, and the vector that they read.

    B starts at zero, so the model starts as the base. W1 starts as the identity and each M_i as a random
    rotation, drawn by the seed: of one size, and as different as the dimensions are to become. (Were they
    equal, the vector would make no difference before they have drifted apart.)

    Raises ConfigError as `add_lora` does.
    """
    adapted = add_lora(model, lora)
    vector = PreferenceVector(len(conditioning.dimensions))
    generator = torch.Generator().manual_seed(seed)
    r1, r2 = conditioning.rank, conditioning.conditioned_rank
    layers: list[Any] = [module for module in adapted.modules() if hasattr(module, "lora_A")]
    for layer in layers:
        weight = layer.lora_A[NAME].weight
        rotations = [
            torch.linalg.qr(torch.randn(r2, r2, generator=generator))[0] for _ in conditioning.dimensions
        ]
        for name, start in (("lora_W1", torch.eye(r1)), ("lora_W2", torch.stack(rotations))):
            parameter = nn.Parameter(start.to(weight.device, weight.dtype))
            setattr(layer, name, nn.ParameterDict({NAME: parameter}))
        replace_forward(layer, partial(_BilinearForward, layer, vector))
    return adapted, vector


class _BilinearForward:
    def __init__(self, layer: Any, vector: PreferenceVector, _original: Forward) -> None:
        self.layer, self.vector, self.scale = layer, vector, layer.scaling[NAME]

    def __call__(self, x: Tensor) -> Tensor:
        layer = self.layer
        if layer.disable_adapters:
            y: Tensor = layer.base_layer(x)
            return y
        a, b = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
        factors = BilinearFactors(a, b, layer.lora_W1[NAME], layer.lora_W2[NAME])
        return lora_linear(x, layer.base_layer, a, factors.up(self.vector.value), self.scale)

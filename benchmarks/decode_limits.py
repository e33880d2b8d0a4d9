"""What arithmetic allows: multiply-adds counted from parameters.

    base      layers * (prompt - 1 + new) + head * new
    an ARM    (layers from its lowest adapted one + its LoRA) * (prompt - 1 + new) + head * new

The prompt goes through the layers too, but the output head is needed only where a token is drawn. Attention
over the keys is left out. Where a pass takes as long as its multiply-adds, guidance can run at
base / (base + ARMs) of the base alone; in a small batch, where reading the weights takes longer, at more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from genarm.decoding.runner.adapter_files import Adapter


@dataclass(frozen=True, slots=True)
class Counted:
    """Multiply-adds of one token in each layer, and in the output head."""

    layers: Sequence[int]
    head: int

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Counted":
        """The weights of a model's linear modules, layer by layer."""
        layers = [
            sum(module.weight.numel() for module in layer.modules() if isinstance(module, nn.Linear))
            for layer in model.get_decoder().layers
        ]
        return cls(layers, model.get_output_embeddings().weight.numel())

    def request(self, prompt: int, new: int, *, lowest: int = 0, adapter: Adapter | None = None) -> int:
        """Multiply-adds of one request through the layers from `lowest` on, with an adapter or none."""
        factors = adapter.factors.values() if adapter else ()
        lora = sum(down.numel() + up.numel() for down, up in factors)
        return (sum(self.layers[lowest:]) + lora) * (prompt - 1 + new) + self.head * new

    def limit(self, prompt: int, new: int, adapters: Sequence[Adapter], layers: int) -> float:
        """The share of the base's speed that these ARMs on its uppermost layers could leave."""
        base = self.request(prompt, new)
        lowest = len(self.layers) - layers
        arms = sum(self.request(prompt, new, lowest=lowest, adapter=adapter) for adapter in adapters)
        return base / (base + arms)

    def separate_limit(self) -> float:
        """The same for one ARM that is another model of the base's size."""
        return 0.5

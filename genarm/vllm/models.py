"""The guided architectures: vLLM's own models, with the rows of ARMs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.model_executor.models.llama import LlamaForCausalLM
from vllm.model_executor.models.mistral import MistralForCausalLM
from vllm.model_executor.models.qwen2 import Qwen2ForCausalLM
from vllm.model_executor.models.qwen3 import Qwen3ForCausalLM

from genarm.vllm.arm_weights import write_arm
from genarm.vllm.layout import read_layout
from genarm.vllm.readings import open_readings
from genarm.vllm.rows import add_rows


class Guided(nn.Module):
    """What comes before a family's class: one pass gives the logits of the base and its n ARMs."""

    model: Any

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.layout = read_layout(vllm_config.additional_config)
        self.readings = open_readings(vllm_config, self.layout.names, self.layout.tokens)
        for index, layer in enumerate(self.model.layers):
            add_rows(layer, index, self.layout, vllm_config)

    def forward(self, *inputs: Any, **more: Any) -> Tensor:
        """Hidden states of t tokens, [t, (1 + n) d]: the runner picks tokens by the first dimension."""
        hidden = super().forward(*inputs, **more)  # [(1 + n) t, d]
        readers = 1 + len(self.layout.arms)
        tokens = hidden.shape[0] // readers
        return hidden.view(readers, tokens, -1).transpose(0, 1).reshape(tokens, -1)

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """The base's logits [rows, v]; the ARMs' wait for the logits processor.

        None under tensor parallelism, in processes that have no part in drawing.
        """
        rows, readers = hidden_states.shape[0], 1 + len(self.layout.arms)
        read = super().compute_logits(hidden_states.view(rows * readers, -1))  # type: ignore[misc]
        if read is None:
            return None
        logits = read.view(rows, readers, -1)
        self.readings.rows = logits
        base = logits[:, 0].clone()  # what is masked in the one is read unmasked in the other
        if self.layout.tokens is not None:
            base[:, self.layout.tokens :] = -torch.inf
        return base

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """The base's weights as ever, then the ARMs'."""
        loaded: set[str] = super().load_weights(weights)  # type: ignore[misc]
        for arm in self.layout.arms:
            self.load_arm(arm.name, arm.folder)
        return loaded

    def load_arm(self, name: str, folder: Path) -> None:
        """Replace an ARM's weights in place, as graphs and compiled code allow. Raises AdapterError."""
        write_arm(self.model.layers, self.layout, name, folder)


class GuidedLlamaForCausalLM(Guided, LlamaForCausalLM):
    """Llama, and SmolLM2."""


class GuidedMistralForCausalLM(Guided, MistralForCausalLM):
    """Mistral."""


class GuidedQwen2ForCausalLM(Guided, Qwen2ForCausalLM):
    """Qwen2 and Qwen2.5."""


class GuidedQwen3ForCausalLM(Guided, Qwen3ForCausalLM):
    """Qwen3."""

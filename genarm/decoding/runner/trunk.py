"""One model with its adapters, ready to score rows; `build_trunk.py` makes it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from genarm.decoding.runner.cuda_graph import StepRecorder
from genarm.decoding.runner.forward import ForwardPass
from genarm.models import context_of
from genarm.models.finite import cause


@dataclass(frozen=True, eq=False)
class Trunk:
    """The frozen weights that rows share, and the adapters that tell the rows apart."""

    model: PreTrainedModel
    forward_pass: ForwardPass
    vocab: int  # of the tokenizer: what the model has beyond it is padding, never a token
    index: Mapping[str, int] = field(default_factory=dict)  # of each adapter in the model's linear modules
    entry: Mapping[str, int] = field(default_factory=dict)  # the layer at which each adapter's rows join
    conditions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # dimensions of adapters with any
    recorder: StepRecorder = field(default_factory=StepRecorder)
    # Tokens that rows have read, by the rows' adapter, None for bare rows; prompts count, free slots do not.
    reads: Counter[str | None] = field(default_factory=Counter)

    @property
    def device(self) -> torch.device:
        """Where token ids go in and logits come out."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the model's weights."""
        return self.model.dtype

    @property
    def context(self) -> int:
        """The most tokens that the model was made for."""
        return context_of(self.model)

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """The preference dimensions that rows have a share of, in the order of their adapters' columns."""
        return tuple(sorted({name for names in self.conditions.values() for name in names}))

    @cached_property
    def fault(self) -> tuple[str, str]:
        """Why its scores are no numbers, and the way out, where they are none; looked for once."""
        return cause(self.model)

    @property
    def parameters(self) -> int:
        """How many weights there are, which is what a pass costs."""
        return sum(p.numel() for p in self.model.parameters())


def vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many ids are tokens: those of the tokenizer that the model can score; the rest is padding."""
    return min(output_width(model), 1 + max(tokenizer.get_vocab().values()))


def output_width(model: PreTrainedModel) -> int:
    """How many ids the model scores."""
    return int(model.get_output_embeddings().weight.shape[0])

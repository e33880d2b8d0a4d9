"""ARMs that are LoRAs on the base's own weights: base and ARMs are rows of one batch from the split up.

The split is the lowest layer that any ARM in use adapts. Below it a token is read once for all, above it once
a row: [base rows | ARM 1's rows | ARM 2's rows ...]. A request has rows only of the ARMs it weighs above 0.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from genarm.decoding.batching import Ending, Scorer, Scores, serve
from genarm.decoding.guidance import Generation, Group, GuidedRequest
from genarm.decoding.rows import Adapter, read_adapter
from genarm.decoding.trunk import Trunk, vocabulary
from genarm.models import ModelSource, load_model, load_tokenizer


class SharedDecoder:
    """A `GuidedDecoder` with the weights in memory once, whatever the number of ARMs."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        adapters: Sequence[Adapter],
        *,
        vocab: int,
        batch_size: int = 32,
    ) -> None:
        self.ending = Ending(tokenizer, model)
        self.arms = [adapter.name for adapter in adapters]
        self.trunk = Trunk(model, adapters, vocab)
        self.batch_size = batch_size

    @property
    def context(self) -> int:
        return self.trunk.context

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[Generation]:
        return serve(
            self._start,
            requests,
            self.ending,
            arms=self.arms,
            context=self.context,
            vocab=self.trunk.vocab,
            batch_size=self.batch_size,
            on_tokens=on_tokens,
        )

    def _start(self, groups: Sequence[Group], real: Tensor, capacity: int) -> Scorer:
        return _OnePass(self.trunk, groups, real, capacity)


class _OnePass:
    """A batch whose base and ARMs go through the trunk together."""

    def __init__(self, trunk: Trunk, groups: Sequence[Group], real: Tensor, capacity: int) -> None:
        self.trunk = trunk
        everyone = torch.arange(len(real), device=real.device)
        rows = [(None, everyone), *((group.arm, group.owner) for group in groups)]
        self.sizes = [len(owner) for _, owner in rows]
        self.flight = trunk.start(rows, real, capacity)

    def feed(self, ids: Tensor) -> Scores:
        base, *arms = self.trunk.logprobs(self.flight.feed(ids)).split(self.sizes)
        return Scores(base, arms)

    def keep(self, alive: Tensor, groups: Sequence[Group]) -> None:
        self.flight.keep(alive)
        self.sizes = [len(alive), *(len(group.owner) for group in groups)]


def load(source: ModelSource, arms: Mapping[str, Path], *, dtype: str, batch_size: int) -> SharedDecoder:
    """The base model with these LoRA folders on it. Raises AdapterError for one that rows cannot serve."""
    adapters = [read_adapter(name, folder) for name, folder in arms.items()]
    tokenizer, model = load_tokenizer(source), load_model(source, dtype)
    vocab = vocabulary(model, tokenizer)
    return SharedDecoder(model, tokenizer, adapters, vocab=vocab, batch_size=batch_size)

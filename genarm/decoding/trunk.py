"""One model with its adapters, ready to score batches: walked where it can be, whole where it cannot."""

import re
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from genarm.decoding.guidance import survivors
from genarm.decoding.rows import Adapter, RowPlan, install
from genarm.decoding.walk import WalkedFlight, dissect
from genarm.models import context_of

Groups = Sequence[tuple[str | None, Tensor]]


class Flight(Protocol):
    """A batch in one model: tokens in, logits out."""

    def feed(self, ids: Tensor) -> Tensor:
        """Read the next tokens of every request, ids [b, q]; the logits after the last of them [r, v]."""

    def keep(self, alive: Tensor) -> None:
        """Go on with these requests only, alive [a]."""


class Trunk:
    """The frozen weights that rows share, and the adapters that tell the rows apart."""

    def __init__(self, model: PreTrainedModel, adapters: Sequence[Adapter], vocab: int) -> None:
        self.model = model
        self.vocab = vocab  # of the tokenizer: what the model has beyond it is padding, never a token
        self.anatomy = dissect(model)
        self.plan = install(model, adapters)
        self.lowest = {adapter.name: self._lowest(adapter) for adapter in adapters}

    @property
    def context(self) -> int:
        """Most tokens that the model was made for."""
        return context_of(self.model)

    def start(self, groups: Groups, real: Tensor, capacity: int) -> Flight:
        """Begin a batch of left-padded prompts, real [b, s]; rows and groups as in `WalkedFlight`."""
        if self.anatomy is None:
            return WholeFlight(self.model, self.plan, groups, real)
        split = min(
            (self.lowest[name] for name, _ in groups if name is not None),
            default=len(self.anatomy.layers),
        )
        return WalkedFlight(self.anatomy, self.plan, groups, real, capacity, split)

    def logprobs(self, logits: Tensor) -> Tensor:
        """Log-probabilities of the tokenizer's tokens, in float32 whatever the model computes in; [r, v]."""
        return torch.log_softmax(logits[:, : self.vocab], dim=-1, dtype=torch.float32)

    def _lowest(self, adapter: Adapter) -> int:
        """The split of an adapter: its lowest layer, or all layers where it adapts the output head alone."""
        found = [re.search(r"\blayers\.(\d+)\.", path) for path in adapter.factors]
        beyond = len(self.anatomy.layers) if self.anatomy else 0
        return min(int(match[1]) if match else beyond for match in found)


class WholeFlight:
    """Rows of one batch from the first layer on, through the model's own forward pass."""

    def __init__(self, model: PreTrainedModel, plan: RowPlan, groups: Groups, real: Tensor) -> None:
        self.model, self.plan = model, plan
        self.names = [name for name, _ in groups]
        self.owners = [owner for _, owner in groups]
        self.real = real
        self.read = 0
        self.cache = DynamicCache(config=model.config)

    def feed(self, ids: Tensor) -> Tensor:
        self.plan.lay(list(zip(self.names, map(len, self.owners), strict=True)))
        if self.read:
            self.real = torch.cat((self.real, self.real.new_ones(ids.shape)), dim=-1)
        positions = (self.real.cumsum(-1) - 1).clamp(min=0)[:, self.read :]
        self.read += ids.shape[1]
        owner = torch.cat(self.owners)
        out = self.model(
            input_ids=ids[owner],
            attention_mask=self.real[owner].long(),
            position_ids=positions[owner],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1]

    def keep(self, alive: Tensor) -> None:
        rows, start = [], 0
        for index, owner in enumerate(self.owners):
            kept, self.owners[index] = survivors(owner, alive, len(self.real))
            rows.append(kept + start)
            start += len(owner)
        self.cache.batch_select_indices(torch.cat(rows))
        self.real = self.real[alive]


def vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many ids are tokens: those of the tokenizer that the model can score; the rest is padding."""
    return min(output_width(model), 1 + max(tokenizer.get_vocab().values()))


def output_width(model: PreTrainedModel) -> int:
    """How many ids the model scores."""
    return int(model.get_output_embeddings().weight.shape[0])

"""ARMs that are models of their own, such as a small one that guides a larger base (weak-to-strong).

Each model has its own pass and its own cache; what joins them is the tokenizer, the same id by id. An ARM
reads only the requests that weigh it above 0.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from genarm.arms import check_fits
from genarm.decoding.batching import Ending, Scorer, Scores, serve
from genarm.decoding.guidance import Generation, Group, GuidedRequest, survivors
from genarm.decoding.rows import read_adapter
from genarm.decoding.trunk import Flight, Trunk, output_width, vocabulary
from genarm.errors import TokenizerMismatch
from genarm.models import ModelSource, load_model, load_tokenizer, resolve
from genarm.types import ArmCard


class SeparateDecoder:
    """A `GuidedDecoder` over one trunk for the base and one for each ARM.

    An ARM's trunk holds one adapter of its name, or none where the model itself is the ARM.
    """

    def __init__(
        self,
        base: Trunk,
        arms: Mapping[str, Trunk],
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_size: int = 32,
    ) -> None:
        self.base, self.arms = base, dict(arms)
        self.ending = Ending(tokenizer, base.model)
        self.batch_size = batch_size

    @property
    def context(self) -> int:
        return min(trunk.context for trunk in (self.base, *self.arms.values()))

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[Generation]:
        return serve(
            self._start,
            requests,
            self.ending,
            arms=list(self.arms),
            context=self.context,
            vocab=self.base.vocab,
            batch_size=self.batch_size,
            on_tokens=on_tokens,
        )

    def _start(self, groups: Sequence[Group], real: Tensor, capacity: int) -> Scorer:
        return _OnePassEach(self, groups, real, capacity)


class _OnePassEach:
    """A batch in the base's trunk, and its guided requests in the trunks of their ARMs."""

    def __init__(
        self, decoder: SeparateDecoder, groups: Sequence[Group], real: Tensor, capacity: int
    ) -> None:
        self.base = decoder.base
        self.trunks = [decoder.arms[group.arm] for group in groups]
        self.groups, self.requests = groups, len(real)
        self.flight = self.base.start([(None, _all(len(real), real))], real, capacity)
        self.flights: list[Flight] = [
            trunk.start(
                [(next(iter(trunk.lowest), None), _all(len(group.owner), real))], real[group.owner], capacity
            )
            for trunk, group in zip(self.trunks, groups, strict=True)
        ]

    def feed(self, ids: Tensor) -> Scores:
        base = self.base.logprobs(self.flight.feed(ids))
        arms = [
            # An ARM whose requests have all finished has nothing to read.
            trunk.logprobs(flight.feed(ids[group.owner])).to(base.device) if len(group.owner) else base[:0]
            for trunk, flight, group in zip(self.trunks, self.flights, self.groups, strict=True)
        ]
        return Scores(base, arms)

    def keep(self, alive: Tensor, groups: Sequence[Group]) -> None:
        for flight, before in zip(self.flights, self.groups, strict=True):
            rows, _ = survivors(before.owner, alive, self.requests)
            flight.keep(rows)
        self.flight.keep(alive)
        self.groups, self.requests = groups, len(alive)


def _all(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device)


def check_same_tokens(
    name: str, arm: PreTrainedTokenizerBase, base_id: str, base: PreTrainedTokenizerBase
) -> None:
    """Raise TokenizerMismatch naming the first token id that the two tokenizers read differently."""
    theirs = {i: token for token, i in arm.get_vocab().items()}
    ours = {i: token for token, i in base.get_vocab().items()}
    for i in sorted(theirs.keys() | ours.keys()):
        if theirs.get(i) != ours.get(i):
            raise TokenizerMismatch(
                f"ARM {name!r} and base {base_id!r} disagree on token {i}: "
                f"{_shown(theirs.get(i))} against {_shown(ours.get(i))}",
                hint="train an ARM on this base's tokenizer",
            )


def _shown(token: str | None) -> str:
    return "nothing" if token is None else repr(token)


def load(
    source: ModelSource,
    arms: Mapping[str, Path],
    cards: Mapping[str, ArmCard],
    *,
    dtype: str,
    batch_size: int,
) -> SeparateDecoder:
    """The base model beside its ARMs: full models, or LoRAs (those with a card) each on a base of its own.

    Raises TokenizerMismatch where a token id does not mean the same to all, AdapterError where an adapter's
    own base has changed.
    """
    tokenizer = load_tokenizer(source)
    own = {name: _own_source(folder, cards.get(name), source) for name, folder in arms.items()}
    for name, theirs in own.items():
        if theirs.tokenizer_sha256 != source.tokenizer_sha256:
            check_same_tokens(name, load_tokenizer(theirs), source.id, tokenizer)
    for name, card in cards.items():
        check_fits(card, source, shares_weights=False)
        check_fits(card, own[name], shares_weights=True)
    adapters = {name: [read_adapter(name, arms[name])] if name in cards else [] for name in arms}
    model = load_model(source, dtype)
    vocab = vocabulary(model, tokenizer)
    trunks = {}
    for name, theirs in own.items():
        guide = load_model(theirs, dtype)
        if (width := output_width(guide)) < vocab:
            raise TokenizerMismatch(
                f"ARM {name!r} scores {width} tokens, base {source.id!r} has {vocab}",
                hint="train an ARM on this base's tokenizer",
            )
        trunks[name] = Trunk(guide, adapters[name], vocab)
    return SeparateDecoder(Trunk(model, [], vocab), trunks, tokenizer, batch_size=batch_size)


def _own_source(folder: Path, card: ArmCard | None, base: ModelSource) -> ModelSource:
    if card is None:
        return resolve(str(folder))
    if card.base_weights_sha256 == base.weights_sha256:
        return base
    return resolve(card.base_id, card.base_revision)

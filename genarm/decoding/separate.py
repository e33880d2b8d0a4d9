"""ARMs that are models of their own, such as a small one that guides a larger base (weak-to-strong).

Each model has its own pass and its own cache; what joins them is the tokenizer, the same id by id. ARMs that
are LoRAs on the same weights share one model.
"""

from collections.abc import Mapping
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from genarm.arms import check_fits
from genarm.decoding.adapters import read_adapter
from genarm.decoding.ensemble import Part
from genarm.decoding.trunk import Trunk, output_width
from genarm.errors import TokenizerMismatch
from genarm.models import ModelSource, load_model, load_tokenizer, resolve
from genarm.types import ArmCard


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


def load_parts(
    source: ModelSource,
    arms: Mapping[str, Path],
    cards: Mapping[str, ArmCard],
    tokenizer: PreTrainedTokenizerBase,
    *,
    dtype: str,
    vocab: int,
    speculate: bool,
    compiled: bool,
) -> list[Part]:
    """A part for each set of weights: full models, or LoRAs (those with a card) on the model of their card.

    Raises TokenizerMismatch where a token id does not mean the same to all, AdapterError where an adapter's
    own base has changed.
    """
    own = {name: _own_source(folder, cards.get(name), source) for name, folder in arms.items()}
    for name, theirs in own.items():
        if theirs.tokenizer_sha256 != source.tokenizer_sha256:
            check_same_tokens(name, load_tokenizer(theirs), source.id, tokenizer)
        if name in cards:
            check_fits(cards[name], source, shares_weights=False)
            check_fits(cards[name], theirs, shares_weights=True)
    parts: list[Part] = []
    for weights in dict.fromkeys(theirs.weights_sha256 for theirs in own.values()):
        names = [name for name, theirs in own.items() if theirs.weights_sha256 == weights]
        proxy = speculate and not parts  # the first drafts
        parts.append(
            _part(own[names[0]], {n: arms[n] for n in names}, cards, source, dtype, vocab, proxy, compiled)
        )
    return parts


def _part(
    theirs: ModelSource,
    arms: Mapping[str, Path],
    cards: Mapping[str, ArmCard],
    source: ModelSource,
    dtype: str,
    vocab: int,
    proxy: bool,
    compiled: bool,
) -> Part:
    adapters = [read_adapter(name, folder) for name, folder in arms.items() if name in cards]
    model = load_model(theirs, dtype)
    if (width := output_width(model)) < vocab:
        raise TokenizerMismatch(
            f"ARM {next(iter(arms))!r} scores {width} tokens, base {source.id!r} has {vocab}",
            hint="train an ARM on this base's tokenizer",
        )
    speaks = {name: name if name in cards else None for name in arms}
    return Part(Trunk(model, adapters, vocab, compiled=compiled), speaks, proxy=proxy)


def _own_source(folder: Path, card: ArmCard | None, base: ModelSource) -> ModelSource:
    if card is None:
        return resolve(str(folder))
    if card.base_weights_sha256 == base.weights_sha256:
        return base
    return resolve(card.base_id, card.base_revision)

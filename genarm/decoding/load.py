"""ARMs that are models of their own, such as a small one that guides a larger base (weak-to-strong).

Each model has its own pass and its own cache; what joins them is the tokenizer, the same id by id. ARMs that
are LoRAs on the same weights share one model.
"""

from collections.abc import Mapping
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from genarm.decoding.runner.adapter_files import read_adapter
from genarm.decoding.runner.ensemble import Part
from genarm.decoding.runner.trunk import Trunk, output_width
from genarm.errors import TokenizerMismatch
from genarm.models import ModelSource, load_model, load_tokenizer
from genarm.models.arm import check_fits, check_same_tokens, check_weights, own_source
from genarm.types import ArmCard


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
    """A part for each set of weights: full models, or LoRAs (those in `cards`) on the model of their card.

    Raises TokenizerMismatch where a token id does not mean the same to all, AdapterError where an adapter's
    own base has changed.
    """
    own = {name: own_source(folder, cards.get(name), source) for name, folder in arms.items()}
    for name, theirs in own.items():
        if theirs.tokenizer_sha256 != source.tokenizer_sha256:
            check_same_tokens(name, load_tokenizer(theirs), source.id, tokenizer)
        if name in cards:
            check_fits(cards[name], source, shares_weights=False)
            check_weights(cards[name], theirs)
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

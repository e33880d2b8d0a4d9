"""What full-model ARMs were trained from, loaded so that requests may contrast the ARMs with it.

A LoRA's start is the model below it, which decoding has anyway. A full model has other weights throughout, so
its start is the base or another part where the weights are the same, and else one more model beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from genarm.errors import AdapterError, ModelError, TokenizerMismatch
from genarm.models import ModelSource, resolve
from genarm.models.arm import check_weights
from genarm.types import ArmCard

if TYPE_CHECKING:
    from genarm.decoding.runner.ensemble import Part


def start_models(cards: Mapping[str, ArmCard]) -> dict[str, ModelSource]:
    """The model that each of these full-model ARMs was trained from, before any weight is loaded.

    Raises AdapterError where it is not found, or is another one by now.
    """
    found = {}
    for name, card in cards.items():
        try:
            found[name] = resolve(card.model_id, card.model_revision)
        except ModelError as error:
            raise AdapterError(
                f"ARM {name!r} was trained from {card.model_id}, which contrast compares it with: "
                f"{error.message}",
                hint="put that model back, or decode without contrast: guidance 'sum'",
            ) from error
        check_weights(card, found[name])
    return found


def with_starts(
    parts: Sequence["Part"],
    weights: Sequence[str],
    starts: Mapping[str, ModelSource],
    *,
    dtype: str,
    vocab: int,
    compiled: bool,
) -> list["Part"]:
    """The parts, in which every ARM of `starts` has its start; `weights` is the hash of each part's model.

    Raises TokenizerMismatch where a start scores fewer tokens than there are.
    """
    from genarm.decoding.runner.build_trunk import build_trunk
    from genarm.decoding.runner.ensemble import Part
    from genarm.decoding.runner.trunk import output_width
    from genarm.models import load_model

    complete = list(parts)
    for source in {model.weights_sha256: model for model in starts.values()}.values():
        arms = frozenset(n for n, model in starts.items() if model.weights_sha256 == source.weights_sha256)
        if source.weights_sha256 in weights:
            index = weights.index(source.weights_sha256)
            complete[index] = replace(complete[index], starts=arms)
            continue
        model = load_model(source, dtype)
        if (width := output_width(model)) < vocab:
            raise TokenizerMismatch(
                f"{source.id}, from which ARM {min(arms)!r} was trained, scores {width} tokens, "
                f"the base has {vocab}",
                hint="decode without contrast: guidance 'sum'",
            )
        complete.append(Part(build_trunk(model, [], vocab, compiled=compiled), starts=arms))
    return complete

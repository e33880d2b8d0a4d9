"""How often an ARM prefers the chosen response of unseen pairs, beside what length alone would get.

By its log-probability, and by what it learned: how far that lies above its start's.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from genarm.data.lengths import longer_is_chosen
from genarm.errors import DataError, ModelError
from genarm.models import ModelSource, context_of, load_model, load_tokenizer, resolve
from genarm.models.arm import check_weights, is_full, own_source, read_card
from genarm.models.finite import check_adapter, not_numbers
from genarm.system import metric_names as names
from genarm.training.logps import causal_lm, prepare
from genarm.training.lora import fuse_lora, load_adapter
from genarm.training.loss import Objective
from genarm.training.margins import implicit_measures, strata, sum_measures
from genarm.training.tokens import TokenPair, encode
from genarm.training.validation import Validation
from genarm.types import ArmCard, PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


def evaluate_arm(
    source: ModelSource, arm: Path, pairs: Sequence[PreferencePair], *, dtype: str
) -> dict[str, float]:
    """Pair accuracy, mean margin in nats, calibration, "longer is chosen" and n of a saved ARM on any pairs.

    The same of the implicit reward, log p_arm - log p_start, and both accuracies by length. The start is the
    ARM's model without its adapter, and for a full model the one that it was trained from; also for an ARM
    that another one was trained on to. Where that model is not to be had any more, a warning says so.
    `source` is the base that the ARM guides, whose tokenizer reads the pairs.

    Raises DataError where there are no pairs, AdapterError where the folder is no ARM or its weights are no
    numbers, and ModelError where its scores are none.
    """
    if not pairs:
        raise DataError("no pairs to evaluate on", hint="name a file with at least one preference pair")
    card = read_card(arm)
    model: Any = load_model(own_source(arm, card, source), dtype)
    encoded = encode(pairs, load_tokenizer(source))
    _check_context(encoded, context_of(model))
    packed = prepare(model, encoded)
    if not is_full(arm):
        model = load_adapter(model, arm)
        check_adapter(card.dimension, ((n, p) for n, p in model.named_parameters() if "lora_" in n))
        fuse_lora(model)
    lengths = np.array([(len(p.prompt), len(p.chosen), len(p.rejected)) for p in encoded], dtype=np.int64)
    objective, parts = Objective(beta=card.beta), strata(lengths[:, 1:])

    def measure(model: Any, packed: bool) -> tuple[dict[str, float], Tensor]:
        validation = Validation(encoded, lengths, objective=objective, packed=packed)
        return _measure(model, validation, len(encoded))

    metrics, margins = measure(model, packed)
    before: Tensor | None = None
    if not is_full(arm):
        with model.disable_adapter():
            _, before = measure(model, packed)
    else:
        model = None  # the other model takes its place in memory
        if (start := _model_at_start(card, dtype)) is not None:
            _, before = measure(start, prepare(start, encoded))
    implicit = {} if before is None else implicit_measures(margins, before, card.beta, parts)
    return {
        "accuracy": metrics[names.ACCURACY],
        "margin": metrics[names.MARGIN] / card.beta,
        **sum_measures(margins, card.beta, parts),
        **implicit,
        names.LONGER_IS_CHOSEN: longer_is_chosen(lengths[:, 1:].tolist()),
        "n": float(len(encoded)),
        **{names.stratum_name(part, "n"): float(of.sum()) for part, of in parts.items()},
    }


def _measure(model: Any, validation: Validation, pairs: int) -> tuple[dict[str, float], Tensor]:
    """Means over the pairs, and the margin of each [p]. Raises ModelError where one is no number."""
    model.eval()
    causal = causal_lm(model)
    metrics = validation.metrics(lambda function, batch: function(model, batch), causal.device)
    if validation.margins is None or not all(map(math.isfinite, metrics.values())):
        raise not_numbers(
            f"the scores of {len(validation.unscored)} of {pairs} pairs, first on the prompt "
            f"{validation.unscored[0]},",
            causal,
        )
    return metrics, validation.margins


def _model_at_start(card: ArmCard, dtype: str) -> "PreTrainedModel | None":
    """The model that a full ARM was trained from; None, with a warning, where it is gone or another one."""
    try:
        source = resolve(card.model_id, card.model_revision)
        check_weights(card, source)
        return load_model(source, dtype)
    except ModelError as error:
        log.warning(
            "what ARM %r learned is not measured, since the model that it was trained from cannot be "
            "loaded: %s",
            *(card.dimension, error.message),
        )
        return None


def _check_context(pairs: Sequence[TokenPair], context: int) -> None:
    for pair in pairs:
        longest = max(len(pair.chosen), len(pair.rejected))
        if len(pair.prompt) + longest > context:
            raise DataError(
                f"prompt {pair.prompt_id} has {len(pair.prompt)} tokens and a response of {longest}, "
                f"the model reads at most {context}",
                hint="leave that pair out",
            )

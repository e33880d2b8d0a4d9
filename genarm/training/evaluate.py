"""How often an ARM prefers the chosen response of unseen pairs, beside what length alone would get."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genarm.errors import DataError
from genarm.models import ModelSource, context_of, load_model, load_tokenizer
from genarm.models.arm import is_full, own_source, read_card
from genarm.models.finite import check_adapter, not_numbers
from genarm.system.metric_names import ACCURACY, LONGER_IS_CHOSEN, MARGIN
from genarm.training.logps import prepare
from genarm.training.lora import fuse_lora, load_adapter
from genarm.training.loss import Objective
from genarm.training.tokens import TokenPair, encode
from genarm.training.validation import Validation
from genarm.types import PreferencePair


def evaluate_arm(
    source: ModelSource, arm: Path, pairs: Sequence[PreferencePair], *, dtype: str
) -> dict[str, float]:
    """Pair accuracy, mean margin in nats, "longer is chosen" and n of a saved ARM on any pairs.

    `source` is the base that it guides, whose tokenizer reads the pairs.

    Raises DataError where there are no pairs, AdapterError where the folder is no ARM or its weights are no
    numbers, and ModelError where its scores are none.
    """
    if not pairs:
        raise DataError("no pairs to evaluate on", hint="name a file with at least one preference pair")
    card = read_card(arm)
    model = load_model(own_source(arm, card, source), dtype)
    encoded = encode(pairs, load_tokenizer(source))
    _check_context(encoded, context_of(model))
    packed = prepare(model, encoded)
    adapted: Any = model
    if not is_full(arm):
        adapted = load_adapter(model, arm)
        check_adapter(card.dimension, ((n, p) for n, p in adapted.named_parameters() if "lora_" in n))
        fuse_lora(adapted)
    lengths = np.array([(len(p.prompt), len(p.chosen), len(p.rejected)) for p in encoded], dtype=np.int64)
    # With beta 1, a reward is the log-probability itself.
    validation = Validation(encoded, lengths, objective=Objective(beta=1.0), packed=packed)
    adapted.eval()
    metrics = validation.metrics(lambda function, batch: function(adapted, batch), model.device)
    if not all(map(math.isfinite, metrics.values())):
        raise not_numbers(
            f"the scores of {len(validation.unscored)} of {len(encoded)} pairs, first on the prompt "
            f"{validation.unscored[0]},",
            model,
        )
    return {
        "accuracy": metrics[ACCURACY],
        LONGER_IS_CHOSEN: validation.longer_is_chosen,
        "margin": metrics[MARGIN],
        "n": float(len(encoded)),
    }


def _check_context(pairs: Sequence[TokenPair], context: int) -> None:
    for pair in pairs:
        longest = max(len(pair.chosen), len(pair.rejected))
        if len(pair.prompt) + longest > context:
            raise DataError(
                f"prompt {pair.prompt_id} has {len(pair.prompt)} tokens and a response of {longest}, "
                f"the model reads at most {context}",
                hint="leave that pair out",
            )

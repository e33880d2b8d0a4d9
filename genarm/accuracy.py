"""How often an ARM prefers the chosen response of unseen pairs, beside what length alone would get."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from genarm.collate import TokenPair, collate, encode
from genarm.errors import DataError
from genarm.lengths import longer_is_chosen
from genarm.logps import pair_logps, prepare
from genarm.lora import fuse, load_adapter
from genarm.loss import preference_loss
from genarm.models import ModelSource, context_of, load_model, load_tokenizer
from genarm.types import PreferencePair

ROWS = 16  # pairs a forward pass without gradients


def evaluate_arm(
    source: ModelSource, arm: Path, pairs: Sequence[PreferencePair], *, dtype: str
) -> dict[str, float]:
    """Pair accuracy, mean margin in nats, "longer is chosen" and n of a saved ARM on any pairs.

    Raises DataError where there are no pairs, AdapterError where the folder is no ARM.
    """
    if not pairs:
        raise DataError("no pairs to evaluate on", hint="name a file with at least one preference pair")
    model = load_model(source, dtype)
    encoded = encode(pairs, load_tokenizer(source), context=context_of(model))
    shared = prepare(model, encoded)
    adapted = load_adapter(model, arm)
    fuse(adapted)
    found = measure(adapted.eval(), encoded, beta=1.0, shared=shared)
    return {
        "accuracy": found["rewards/accuracies"],
        "longer_is_chosen": longer_is_chosen(response_lengths(encoded)),
        "margin": found["rewards/margins"],
        "n": float(len(encoded)),
    }


def measure(model: Any, pairs: Sequence[TokenPair], *, beta: float, shared: bool) -> dict[str, float]:
    """Loss, accuracy, reward margin and mean log-probabilities over pairs, with the names of TRL."""
    by_length = sorted(pairs, key=lambda pair: pair.row_tokens)
    device = next(model.parameters()).device
    with torch.no_grad():
        logps = torch.cat(
            [
                pair_logps(model, collate(by_length[i : i + ROWS], shared=shared).to(device))
                for i in range(0, len(by_length), ROWS)
            ]
        )
    return {name: total / len(pairs) for name, total in totals(logps.double(), beta=beta).items()}


def totals(logps: torch.Tensor, *, beta: float) -> dict[str, float]:
    """Sums over pairs of what is watched; logps [p, 2]. A reward is beta times a log-probability."""
    chosen, rejected = logps.detach().unbind(1)
    margin = chosen - rejected
    return {
        "loss": preference_loss(chosen, rejected, beta=beta).sum().item(),
        "rewards/accuracies": ((margin > 0).sum() + 0.5 * (margin == 0).sum()).item(),
        "rewards/margins": beta * margin.sum().item(),
        "rewards/chosen": beta * chosen.sum().item(),
        "rewards/rejected": beta * rejected.sum().item(),
        "logps/chosen": chosen.sum().item(),
        "logps/rejected": rejected.sum().item(),
    }


def response_lengths(pairs: Sequence[TokenPair]) -> list[tuple[int, int]]:
    """Tokens of chosen and rejected, end token included."""
    return [(len(pair.chosen), len(pair.rejected)) for pair in pairs]

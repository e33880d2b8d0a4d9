"""How often an ARM prefers the chosen response of unseen pairs, beside what length alone would get."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from genarm.data.lengths import longer_is_chosen
from genarm.errors import DataError
from genarm.models import ModelSource, context_of, load_model, load_tokenizer
from genarm.models.arm import is_full, own_source, read_card
from genarm.training.collate import PairBatch, collate
from genarm.training.logps import pair_logps, prepare
from genarm.training.lora import fuse, load_adapter
from genarm.training.loss import Objective
from genarm.training.packing import pack
from genarm.training.tokens import TokenPair, encode
from genarm.types import PreferencePair

TOKENS = 4096  # of a forward pass without gradients


def evaluate_arm(
    source: ModelSource, arm: Path, pairs: Sequence[PreferencePair], *, dtype: str
) -> dict[str, float]:
    """Pair accuracy, mean margin in nats, "longer is chosen" and n of a saved ARM on any pairs.

    `source` is the base that it guides, whose tokenizer reads the pairs.

    Raises DataError where there are no pairs, AdapterError where the folder is no ARM.
    """
    if not pairs:
        raise DataError("no pairs to evaluate on", hint="name a file with at least one preference pair")
    model = load_model(own_source(arm, read_card(arm), source), dtype)
    encoded = encode(pairs, load_tokenizer(source))
    _check_context(encoded, context_of(model))
    packed = prepare(model, encoded)
    adapted: Any = model
    if not is_full(arm):
        adapted = load_adapter(model, arm)
        fuse(adapted)
    tokens = np.array([pair.row_tokens for pair in encoded])
    found = measure(adapted.eval(), encoded, tokens, Objective(beta=1.0), packed=packed)
    return {
        "accuracy": found["rewards/accuracies"],
        "longer_is_chosen": longer_is_chosen([(len(p.chosen), len(p.rejected)) for p in encoded]),
        "margin": found["rewards/margins"],
        "n": float(len(encoded)),
    }


def measure(
    model: Any,
    pairs: Sequence[TokenPair],
    tokens: npt.NDArray[np.int64],
    objective: Objective,
    *,
    packed: bool,
) -> dict[str, float]:
    """Loss, accuracy, reward margin and mean log-probabilities over pairs, with the names of TRL.

    `tokens` [p] says how long each pair is, so that pairs are read only when their turn comes.
    """
    device = next(model.parameters()).device
    packs = pack(tokens.tolist(), max(TOKENS, int(tokens.max())))
    found: Counter[str] = Counter()
    with torch.no_grad():
        for indices in packs:
            batch = collate([pairs[i] for i in indices], packed=packed).to(device)
            judged = judge(objective, model, batch)
            found.update(totals(judged[:, :2], judged[:, 2], beta=objective.beta))
    return {name: total / len(pairs) for name, total in found.items()}


def judge(objective: Objective, model: Any, batch: PairBatch) -> torch.Tensor:
    """Log-probabilities of chosen and rejected, and the loss, of each pair -> [p, 3]."""
    logps = pair_logps(model, batch)
    return torch.cat([logps, objective.losses(logps, batch.owner)[:, None]], 1)


def totals(logps: torch.Tensor, losses: torch.Tensor, *, beta: float) -> dict[str, float]:
    """Sums over pairs of what is watched; logps [p, 2], losses [p].

    A reward is beta times a summed log-probability whatever the loss is, since that is what decoding adds up.
    """
    chosen, rejected = logps.detach().double().unbind(1)
    margin = chosen - rejected
    return {
        "loss": losses.detach().double().sum().item(),
        "rewards/accuracies": ((margin > 0).sum() + 0.5 * (margin == 0).sum()).item(),
        "rewards/margins": beta * margin.sum().item(),
        "rewards/chosen": beta * chosen.sum().item(),
        "rewards/rejected": beta * rejected.sum().item(),
        "logps/chosen": chosen.sum().item(),
        "logps/rejected": rejected.sum().item(),
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

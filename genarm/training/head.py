"""Log-probabilities from hidden states under a model's head, a few tokens at a time: [t, v] is never held.

The head is whatever the model's own forward pass makes of what its decoder returns, scales and soft caps
included, so no kind of model is listed here; a short trial tells whether that gives the model's own logits.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genarm.training.loss import token_logps
from genarm.training.transformers_hooks import decoder_returning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CPU_BUDGET = 96 * 2**20  # bytes of logits at a time on a CPU: 128 tokens of a vocabulary of 49,152
GPU_SHARE, FREE_SHARE = 64, 4  # on a GPU a 64th of its memory, and never more than a quarter of what is free
TRAINED = 4  # budgets for a head that trains on a CPU: each chunk adds to its full gradient
LOGIT_BYTES = 16  # of a logit in a chunk: in the model's precision, in float32, their softmax, its gradient
LEAST, MOST = 16, 8192  # tokens of a chunk, as powers of two
TRIAL = 12  # tokens
TOLERANCE = 0.1  # nats a token; rounding in bfloat16 moves 0.01, a wrong head moves whole nats

_fitting: "WeakKeyDictionary[PreTrainedModel, bool]" = WeakKeyDictionary()  # what the trials have shown
log = logging.getLogger(__name__)


def head_fits(model: "PreTrainedModel") -> bool:
    """Whether `head_of` gives the model's own logits; tried once a model, on a few tokens.

    Where not, padded rows have to hold all their logits at once, and a warning says so.
    """
    if model not in _fitting:
        _fitting[model] = _tried(model)
        if not _fitting[model]:
            log.warning(
                "the logits of %s cannot be made a few at a time: a pass holds %d bytes a response token",
                *(type(model).__name__, LOGIT_BYTES * vocabulary(model)),
            )
    return _fitting[model]


@torch.no_grad()
def _tried(model: "PreTrainedModel") -> bool:
    ids = torch.arange(1, 1 + TRIAL, device=model.device)[None] % vocabulary(model)
    try:
        own = model(input_ids=ids, use_cache=False).logits[0, TRIAL // 3 :]
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[0]
        ours = head_of(model)(hidden[TRIAL // 3 :])  # of some tokens, as a chunk has them
        off = (own.float().log_softmax(-1) - ours.float().log_softmax(-1)).abs().amax()
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        log.info("%s is not run without its decoder: %s", type(model).__name__, error)
        return False
    return bool(off < TOLERANCE)


def head_of(model: "PreTrainedModel") -> Callable[[Tensor], Tensor]:
    """Hidden states [n, d] -> logits [n, v], as the model's own forward pass makes them."""

    def head(hidden: Tensor) -> Tensor:
        with decoder_returning(model, hidden[None]):
            logits: Tensor = model(input_ids=hidden.new_zeros(1, len(hidden), dtype=torch.long)).logits[0]
        return logits

    return head


def head_logps(model: "PreTrainedModel", hidden: Tensor, targets: Tensor) -> Tensor:
    """token_logps(head(hidden), targets) without ever holding [t, v]; hidden [t, d] -> [t]."""
    head = head_of(model)
    trains = any(p.requires_grad for p in model.get_output_embeddings().parameters())
    if not (trains and torch.is_grad_enabled()):
        return _HeadLogps.apply(hidden, targets, head, chunk_of(model, hidden.device))

    # A head's own gradient weighs each token by its loss, known only on the way back: computed again there.
    def logps(part: Tensor, target: Tensor) -> Tensor:
        return token_logps(head(part), target)

    rows = chunk_of(model, hidden.device, trains=True)
    parts = zip(hidden.split(rows), targets.split(rows), strict=True)
    return torch.cat([checkpoint(logps, *part, use_reentrant=False) for part in parts])


def chunk_of(model: "PreTrainedModel", device: torch.device, *, trains: bool = False) -> int:
    """How many tokens' logits may exist at one time on this device."""
    if device.type != "cuda":
        return chunk_rows(CPU_BUDGET * (TRAINED if trains else 1), vocabulary(model))
    total: int = torch.cuda.get_device_properties(device).total_memory
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return chunk_rows(gpu_budget(total, torch.cuda.mem_get_info(device)[0] + unused), vocabulary(model))


def gpu_budget(total: int, free: int) -> int:
    """Bytes of logits at a time on a GPU with so many bytes, of which so many are free.

    By its size as long as enough is free, so that every run on it rounds alike.
    """
    return min(total // GPU_SHARE, free // FREE_SHARE)


def chunk_rows(budget: int, vocabulary: int) -> int:
    """The most tokens, a power of two from 16 to 8192, whose logits fit in a budget of bytes."""
    rows = max(budget // (LOGIT_BYTES * vocabulary), 1)
    return min(max(1 << (rows.bit_length() - 1), LEAST), MOST)


def vocabulary(model: "PreTrainedModel") -> int:
    """How many ids the model scores."""
    return int(model.get_output_embeddings().weight.shape[0])


class _HeadLogps(torch.autograd.Function):
    """The log-probabilities under a frozen head, which gets no gradient.

    A token's logits depend on its own hidden state alone, so d logp_t / d hidden_t is taken chunk by chunk in
    the forward pass; backward only scales it.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, targets: Tensor, head: Callable[[Tensor], Tensor], chunk: int
    ) -> Tensor:
        logps, slopes = [], []
        for part, target in zip(hidden.split(chunk), targets.split(chunk), strict=True):
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                part = part.detach().requires_grad_(ctx.needs_input_grad[0])
                logp = token_logps(head(part), target)
                if ctx.needs_input_grad[0]:
                    slopes.append(torch.autograd.grad(logp.sum(), part)[0])
            logps.append(logp.detach())
        if slopes:
            ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(logps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return (gradient[:, None] * slopes).to(slopes.dtype), None, None, None

"""From the guided policy's scores to a token: temperature, top-k, top-p, one uniform number a draw.

    p(v) = softmax(scores / temperature), narrowed by top-k and then top-p
    token = first v with p(0) + ... + p(v) > u * total         u depends on (seed, t) and nothing else

Probabilities here need not sum to 1: a draw divides by their sum. Every row is worked on by itself, so its
token does not depend on the other rows.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

WIDTHS = (64, 1024)  # tokens looked at before top-p sorts the whole vocabulary
BLOCK = 128  # tokens that are summed first, so that only one block of a row is searched token by token
DRAWS = 3  # uniform numbers a position: a drafted token, its acceptance, and the token of the guided policy


class BatchSampling(NamedTuple):
    """How each of b requests samples; the flags say on the host what no request asks for."""

    temperature: Tensor  # [b] 0 takes the best token
    top_k: Tensor  # [b] 0 keeps all
    top_p: Tensor  # [b] 1 keeps all
    greedy: bool  # some
    tempered: bool  # some are neither 0 nor 1
    cut_k: bool
    cut_p: bool

    @classmethod
    def of(
        cls, temperature: np.ndarray, top_k: np.ndarray, top_p: np.ndarray, device: torch.device
    ) -> "BatchSampling":
        """From temperature, top-k and top-p of each request, all [b]."""
        return cls(
            torch.from_numpy(temperature).to(device),
            torch.from_numpy(top_k).to(device),
            torch.from_numpy(top_p).to(device),
            greedy=bool((temperature == 0).any()),
            tempered=bool(((temperature != 0) & (temperature != 1)).any()),
            cut_k=bool((top_k > 0).any()),
            cut_p=bool((top_p < 1).any()),
        )


def distribution(scores: Tensor, sampling: BatchSampling, full: Tensor | None = None) -> Tensor:
    """What a request draws from: scores [b, v] -> probabilities [b, v], not normalised after a cut.

    `full` is softmax(scores) where it is at hand.
    """
    if sampling.tempered or full is None:
        # A temperature of 0 leaves one token, whatever the scores are divided by.
        divisor = sampling.temperature.masked_fill(sampling.temperature == 0, 1)[:, None]
        full = (scores / divisor if sampling.tempered else scores).softmax(-1)
    chances = narrow(full, sampling) if sampling.cut_k or sampling.cut_p else full
    if sampling.greedy:
        best = torch.zeros_like(chances).scatter_(-1, scores.argmax(-1, keepdim=True), 1)
        chances = torch.where((sampling.temperature == 0)[:, None], best, chances)
    return chances


def narrow(chances: Tensor, sampling: BatchSampling) -> Tensor:
    """Mute all but the k best tokens, then all but the fewest best that reach p of what those have together.

    Tokens that tie with the last one kept stay, so the result does not depend on the order in which a sort
    meets them.
    """
    vocab = chances.shape[-1]
    if sampling.cut_k:
        k = torch.where(sampling.top_k > 0, sampling.top_k, vocab).clamp(max=vocab)
        best = chances.topk(int(torch.where(k < vocab, k, 1).max()), dim=-1).values
        least = best.gather(-1, (k.clamp(max=best.shape[-1]) - 1)[:, None])
        chances = chances.masked_fill((chances < least) & (k < vocab)[:, None], 0)
    if sampling.cut_p:
        limited = (sampling.top_p < 1).nonzero().flatten()
        some = chances if len(limited) == len(chances) else chances[limited]
        some = some.masked_fill(some < _nucleus(some, sampling.top_p[limited, None]), 0)
        chances = some if len(limited) == len(chances) else chances.index_copy(0, limited, some)
    return chances


def _nucleus(chances: Tensor, top_p: Tensor) -> Tensor:
    """The chance of the last token that top-p keeps; chances [b, v], top_p [b, 1] -> [b, 1].

    The best few tokens decide for most rows; the vocabulary is sorted for those that need it alone.
    """
    vocab = chances.shape[-1]
    wanted = top_p * chances.sum(-1, keepdim=True, dtype=torch.float64)
    least = torch.zeros_like(top_p)
    rows = torch.arange(len(chances), device=chances.device)
    for width in (*(w for w in WIDTHS if w < vocab), vocab):
        best = (chances if len(rows) == len(chances) else chances[rows]).topk(width, dim=-1).values
        reached = best.cumsum(-1, dtype=torch.float64)
        kept = (reached < wanted[rows]).sum(-1, keepdim=True)  # stay below p; the next one reaches it
        least[rows] = best.gather(-1, kept.clamp(max=width - 1))
        rows = rows[kept[:, 0] == width]
        if not len(rows):
            break
    return least


def draw(chances: Tensor, uniform: Tensor) -> Tensor:
    """One token a row by inverting the cumulative distribution; chances [b, v], uniform [b] in [0, 1) -> [b].

    Tokens are summed in the order of their ids, blocks first.
    """
    b, vocab = chances.shape
    blocks = -(-vocab // BLOCK)
    if vocab % BLOCK:
        chances = torch.nn.functional.pad(chances, (0, blocks * BLOCK - vocab))
    parts = chances.view(b, blocks, BLOCK)
    sums = parts.sum(-1)
    total = sums.sum(-1, dtype=torch.float64)
    block, left = _find(sums, total * uniform)
    inside, _ = _find(parts[torch.arange(b, device=block.device), block], left)
    return (block * BLOCK + inside).clamp_(max=vocab - 1)  # if they are no numbers


def _find(chances: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Where the cumulative sum first exceeds the target, and how much of the target is left there."""
    reached = chances.cumsum(-1, dtype=torch.float64)
    total = reached[:, -1]
    # Rounding may lift the target up to the total, which no token exceeds.
    target = torch.minimum(target, total.nextafter(torch.zeros_like(total)))
    index = torch.searchsorted(reached, target[:, None], right=True).clamp_(max=chances.shape[-1] - 1)
    return index[:, 0], target - (reached - chances).gather(-1, index)[:, 0]


def random_stream(seed: int, length: int) -> np.ndarray:
    """The uniform numbers of a request, [length, DRAWS] float64 in [0, 1): Philox keyed by the seed.

    A longer stream starts with the shorter one.
    """
    return np.random.Generator(np.random.Philox(key=seed)).random((length, DRAWS))

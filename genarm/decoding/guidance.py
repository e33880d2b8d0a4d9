"""Guided decoding before any model: the request, the contract, the equation, the draw.

Only token ids and log-probabilities pass through here. No tokenizer, no checkpoint and no backend is known.

    scores(v) = log p_base(v) + sum_i w_i * log p_arm_i(v)      the guided policy, at temperature 1
    p(v) = softmax(scores / temperature), narrowed by top-k and then top-p
    token = first v with p(0) + ... + p(v) > u_t                u_t depends on (seed, t) and nothing else

The temperature is that of the sum. Applied token by token, this approximates the KL-optimal policy over whole
responses (GenARM, arXiv 2410.08193, equation 6), as every product of experts does.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from genarm.errors import RequestError

WIDEST_CUT = 512  # tokens looked at before top-p falls back to sorting the vocabulary


@dataclass(frozen=True, slots=True)
class GuidedRequest:
    """A prompt to continue and how; `weights` by ARM name, absent means 0. RequestError if senseless."""

    prompt: tuple[int, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0  # 0 takes the best token
    top_k: int = 0  # 0 keeps all
    top_p: float = 1.0
    max_new_tokens: int = 64
    stop: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if not (weight >= 0 and math.isfinite(weight)):
                raise RequestError(f"weight of ARM {name!r} is {weight}", hint="weights are finite and >= 0")
        for wrong, what, way_out in (
            (not self.prompt, "the prompt is empty", "give at least one token"),
            (
                not (self.temperature >= 0 and math.isfinite(self.temperature)),
                f"temperature is {self.temperature}",
                "0 takes the best token, 1 samples the guided policy",
            ),
            (self.top_k < 0, f"top_k is {self.top_k}", "0 keeps all tokens"),
            (not 0 < self.top_p <= 1, f"top_p is {self.top_p}", "it lies in (0, 1]"),
            (self.max_new_tokens < 1, f"max_new_tokens is {self.max_new_tokens}", "ask for at least 1"),
            ("" in self.stop, "a stop string is empty", "leave it out"),
            (not 0 <= self.seed < 2**64, f"seed is {self.seed}", "it lies in [0, 2^64)"),
        ):
            if wrong:
                raise RequestError(what, hint=way_out)


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to a request.

    `tokens` holds all that was drawn, an end token included, which `text` leaves out; text also ends before a
    stop string. `base_logprob` is sum_t log p_base(y_t), `kl` the mean over tokens of KL(guided || base).
    """

    tokens: tuple[int, ...]
    text: str
    finish_reason: Literal["stop", "length"]
    base_logprob: float
    kl: float


class GuidedDecoder(Protocol):
    """What every backend provides. The same request gives the same tokens in any batch and any order.

    That holds as far as the model's arithmetic does: a batch of another size rounds its sums otherwise, which
    may turn a draw that was close, in bfloat16 now and then, in float32 hardly ever.
    """

    @property
    def context(self) -> int:
        """Most tokens that prompt and response may have together."""

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[Generation]:
        """Answer in the order given; `on_tokens` hears how many tokens a step gave. Raises RequestError."""


@dataclass(frozen=True, slots=True)
class Group:
    """One ARM in one batch: it speaks for the requests `owner` [m] at `weights` [m], and for no other."""

    arm: str
    owner: Tensor
    weights: Tensor


def check_servable(requests: Sequence[GuidedRequest], arms: Sequence[str], context: int, vocab: int) -> None:
    """Raise RequestError, naming the request, for what no batch could serve; called before any work."""
    for number, request in enumerate(requests):
        if unknown := [name for name in request.weights if name not in arms]:
            raise RequestError(
                f"request {number} names ARM {unknown[0]!r}, which is not loaded",
                hint=f"loaded ARMs: {', '.join(arms) or 'none'}",
            )
        if len(request.prompt) + request.max_new_tokens > context:
            raise RequestError(
                f"request {number}: {len(request.prompt)} prompt tokens and {request.max_new_tokens} new "
                f"ones exceed the context of {context}",
                hint="shorten the prompt or lower max_new_tokens",
            )
        if not (min(request.prompt) >= 0 and max(request.prompt) < vocab):
            raise RequestError(
                f"request {number}: the prompt's ids lie in [{min(request.prompt)}, {max(request.prompt)}], "
                f"the tokenizer has {vocab}",
                hint="render the prompt with the base model's tokenizer",
            )


def combine(base: Tensor, arms: Sequence[Tensor], groups: Sequence[Group]) -> Tensor:
    """Next-token scores of the guided policy: log p_base + sum_i w_i * log p_arm_i.

    base [b, v], arms [m, v] for each group -> [b, v]. A request that is in no group keeps the base's very
    numbers: a weight of 0 has no row, so 0 * -inf cannot arise.
    """
    if not groups:
        return base
    scores = base.clone()
    for logprobs, group in zip(arms, groups, strict=True):
        weights = group.weights[:, None]
        if len(group.owner) == len(base):
            scores.addcmul_(logprobs, weights)
        else:
            scores.index_add_(0, group.owner, logprobs * weights)
    return scores


def survivors(owner: Tensor, alive: Tensor, requests: int) -> tuple[Tensor, Tensor]:
    """Rows that stay when only the requests `alive` do, and whose they are then.

    owner [r] in [0, requests), alive [a] -> rows [k], owner of each among the alive [k].
    """
    place = owner.new_full((requests,), -1)
    place[alive] = torch.arange(len(alive), device=owner.device)
    moved = place[owner]
    rows = (moved >= 0).nonzero().flatten()
    return rows, moved[rows]


def divergence(scores: Tensor, base: Tensor) -> Tensor:
    """KL(guided || base) at temperature 1, in nats; scores [b, v], base log-probabilities [b, v] -> [b]."""
    guided = scores.log_softmax(-1)
    terms = guided.exp() * (guided - base)
    total = terms.masked_fill_(guided == -torch.inf, 0).sum(-1)  # 0 * inf: a token that cannot be drawn
    return total.clamp_(min=0)  # two policies that are all but the same differ by rounding, to either side


def narrow(scores: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Mute all but the k best tokens, then all but the fewest best whose probability reaches p.

    scores [b, v], top_k [b] (0 keeps all), top_p [b] (1 keeps all) -> [b, v]. Tokens that tie with the last
    one kept stay, so the result does not depend on the order in which a sort meets them.
    """
    vocab = scores.shape[-1]
    if bool((top_k > 0).any()):
        k = torch.where(top_k > 0, top_k, vocab).clamp(max=vocab)
        best = scores.topk(int(torch.where(k < vocab, k, 1).max()), dim=-1).values
        least = best.gather(-1, (k.clamp(max=best.shape[-1]) - 1)[:, None])
        scores = scores.masked_fill((scores < least) & (k < vocab)[:, None], -torch.inf)
    limited = (top_p < 1).nonzero().flatten()
    if len(limited):
        some = scores[limited]
        least = _nucleus(some, top_p[limited, None])
        scores = scores.index_copy(0, limited, some.masked_fill(some < least, -torch.inf))
    return scores


def _nucleus(scores: Tensor, top_p: Tensor) -> Tensor:
    """The score of the last token that top-p keeps; scores [b, v], top_p [b, 1] -> [b, 1]."""
    vocab = scores.shape[-1]
    normaliser = scores.logsumexp(-1, keepdim=True)
    for width in (min(WIDEST_CUT, vocab), vocab):
        best = scores.topk(width, dim=-1).values
        reached = (best - normaliser).exp().cumsum(-1, dtype=torch.float64)
        if bool((reached[:, -1:] >= top_p).all()):
            break
    kept = (reached < top_p).sum(-1, keepdim=True)  # that many stay below p; the next one reaches it
    return best.gather(-1, kept.clamp(max=width - 1))


def draw(scores: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor, noise: Tensor) -> Tensor:
    """One token a row by inverting the cumulative distribution; temperature 0 takes the best.

    scores [b, v], the others [b], noise in [0, 1) -> [b]. Tokens are summed in the order of their ids, row by
    row in float64, so a row's token does not depend on the other rows.
    """
    greedy = temperature == 0
    if bool(greedy.all()):
        return scores.argmax(-1)
    tempered = scores / torch.where(greedy, 1.0, temperature)[:, None]
    reached = narrow(tempered, top_k, top_p).softmax(-1).cumsum(-1, dtype=torch.float64)
    total = reached[:, -1]
    # Rounding may lift u * total up to total, which no token exceeds.
    target = torch.minimum(noise * total, total.nextafter(torch.zeros_like(total)))
    token = torch.searchsorted(reached, target[:, None], right=True)[:, 0]
    return torch.where(greedy, scores.argmax(-1), token) if bool(greedy.any()) else token


def random_stream(seed: int, length: int) -> Tensor:
    """u_0 ... u_{length-1} of a request, float64 in [0, 1): Philox keyed by the seed, counted by the token.

    A longer stream starts with the shorter one.
    """
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=seed)).random(length))

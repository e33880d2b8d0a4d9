"""Guided decoding before any model: the request, the contract, the equation.

Only token ids and log-probabilities pass through here. No tokenizer, no checkpoint and no backend is known.

    scores(v) = log p_base(v) + sum_i w_i * log p_arm_i(v)      the guided policy, at temperature 1

The temperature is that of the sum (`sampling.py` draws from it). Applied token by token, this approximates
the KL-optimal policy over whole responses (GenARM, arXiv 2410.08193, equation 6), as every product of experts
does.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from genarm.errors import RequestError


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
    return_rewards: bool = False  # log-probabilities and rewards of every token of the response

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
class TokenRewards:
    """Log-probabilities of one token, which show where guidance acts; those of the ARMs are its rewards."""

    base: float
    guided: float  # at temperature 1
    arms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class GuidedResponse:
    """The answer to a request.

    `tokens` holds all that was drawn, an end token included, which `text` leaves out; text also ends before a
    stop string. `base_logprob` is sum_t log p_base(y_t), `kl` the mean over tokens of KL(guided || base).
    `rewards` has an entry a token where the request asked for them.
    """

    tokens: tuple[int, ...]
    text: str
    finish_reason: Literal["stop", "length", "cancelled"]
    base_logprob: float
    kl: float
    rewards: tuple[TokenRewards, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A token as it streams, and the text it completes; together the pieces' text is the response's."""

    token: int
    text: str
    rewards: TokenRewards | None = None


class Stream(Protocol):
    """One request under way: an iterator of its pieces. Reading one stream moves its whole session on."""

    def __iter__(self) -> Iterator[Piece]: ...
    def cancel(self) -> None:
        """Stop, and let a waiting request have the slot. What was drawn so far is the response."""

    def response(self) -> GuidedResponse:
        """Wait for the end. Raises ModelError where the scores of this request were no numbers."""


class Session(Protocol):
    """Requests that come and go."""

    def submit(self, request: GuidedRequest) -> Stream:
        """Queue a request. Raises RequestError for one that could not be served."""


class GuidedDecoder(Protocol):
    """What every backend provides. The same request gives the same tokens in any batch and any order.

    That holds as far as the model's arithmetic does: a batch of another size rounds its sums otherwise, which
    may turn a draw that was close, in bfloat16 now and then, in float32 hardly ever.
    """

    @property
    def context(self) -> int:
        """Most tokens that prompt and response may have together."""

    def session(self) -> Session:
        """A place to submit requests one by one and to read their tokens as they come."""

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[GuidedResponse]:
        """Answer in the order given; `on_tokens` hears how many tokens a step gave.

        Raises RequestError before any work for a request that cannot be served, and ModelError, after all
        others are answered, for one whose scores were no numbers.
        """


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one ARM says of some requests: its logits [m, v] for the requests `owner` [m] at `weights` [m]."""

    arm: str
    owner: Tensor
    weights: Tensor
    logits: Tensor


def check_servable(request: GuidedRequest, arms: Sequence[str], context: int, vocab: int, name: str) -> None:
    """Raise RequestError, naming the request, for what no batch could serve."""
    if unknown := [arm for arm in request.weights if arm not in arms]:
        raise RequestError(
            f"{name} names ARM {unknown[0]!r}, which is not loaded",
            hint=f"loaded ARMs: {', '.join(arms) or 'none'}",
        )
    if len(request.prompt) + request.max_new_tokens > context:
        raise RequestError(
            f"{name}: {len(request.prompt)} prompt tokens and {request.max_new_tokens} new "
            f"ones exceed the context of {context}",
            hint="shorten the prompt or lower max_new_tokens",
        )
    if not (min(request.prompt) >= 0 and max(request.prompt) < vocab):
        raise RequestError(
            f"{name}: the prompt's ids lie in [{min(request.prompt)}, {max(request.prompt)}], "
            f"the tokenizer has {vocab}",
            hint="render the prompt with the base model's tokenizer",
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """The guided policy for one next token of b requests, in float32 whatever the models compute in."""

    base: Tensor  # [b, v] the base's logits
    guidance: Tensor | None  # [b, v] sum_i w_i * (logits of ARM i); None where no ARM speaks
    total: Tensor  # [b, v] their sum
    full: Tensor  # [b, v] softmax of it

    @classmethod
    def of(cls, base: Tensor, opinions: Sequence[Opinion]) -> "Scores":
        """Combine the logits of base [b, v] and ARMs.

        Logits stand for log-probabilities: what they lack, a model's normaliser, is the same for all tokens.
        A request that no ARM speaks for keeps the base's very numbers, so 0 * -inf cannot arise.
        """
        base = base.float()
        if not opinions:
            return cls(base, None, base, base.softmax(-1))
        guidance = torch.zeros_like(base)
        for opinion in opinions:
            if len(opinion.owner) == len(base):
                guidance.addcmul_(opinion.logits.float(), opinion.weights[:, None])
            else:
                guidance.index_add_(0, opinion.owner, opinion.logits.float() * opinion.weights[:, None])
        guidance.clamp_(min=-1e30)  # a token that is ruled out has no part in the KL: 0 * -inf is no number
        total = base + guidance
        return cls(base, guidance, total, total.softmax(-1))

    def measure(self, token: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log p_base(token), log of the guided policy of it, KL(guided || base) in nats; all [b].

        KL = sum_v p(v) (log p(v) - log p_base(v)) = sum_v p(v) guidance(v) - log Z + log Z_base, where Z and
        Z_base normalise the exponentials of `total` and `base`.
        """
        place = token[:, None]
        if self.guidance is None:
            own = self.full.gather(-1, place)[:, 0].log()
            return own, own, torch.zeros_like(own)
        normaliser = self.total.amax(-1) - self.full.amax(-1).log()
        own = self.base.log_softmax(-1).gather(-1, place)[:, 0]
        shift = torch.linalg.vecdot(self.full, self.guidance)
        divergence = shift - normaliser + self.base.gather(-1, place)[:, 0] - own
        # Two policies that are all but the same differ by rounding, to either side.
        return own, self.total.gather(-1, place)[:, 0] - normaliser, divergence.clamp_(min=0)

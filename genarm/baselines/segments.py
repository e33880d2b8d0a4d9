"""CARDS in numbers: where a segment ends, what its reward must reach, and what refusing does to the policy.

    tau(t) = min(r0 + t (r* - r0) / n, r*)      r0 = (1 - alpha) r(x) + alpha r*
    P(accept) = min(1, exp((r - tau(t)) / beta))

where t tokens of at most n are drawn with the segment, r is the reward of prompt and response so far, r(x)
that of the prompt alone, and r* the reward that is aimed at (Li et al., arXiv 2406.16306).
"""

import math
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from genarm.baselines.seeds import candidate_seed
from genarm.decoding import GuidedRequest, GuidedResponse
from genarm.decoding.sampling import random_stream
from genarm.errors import ConfigError, ModelError

ACCEPT, DRAW = 1, 2  # which of a position's uniform numbers tests a segment, and which draws a token


@dataclass(frozen=True, slots=True)
class CardsSettings:
    """The knobs of CARDS, with the values of its paper. Raises ConfigError for values that make no sense."""

    target: float
    """r*, on the reward model's own scale: `target_reward` finds it."""
    entropy: float = 3.0
    """A segment ends where the base's next token has at least this entropy, in nats."""
    alpha: float = 0.5
    """How much of r* the first segment must have, beside the prompt's own reward."""
    beta: float = 0.7
    """How far below tau a reward may be: the chance falls e-fold each beta."""
    shortest: int = 4
    """Tokens that a segment has at least, unless the response ends."""
    longest: int = 64
    """Tokens that it has at most."""
    tries: int = 20
    """Refused segments of which the best is taken."""

    def __post_init__(self) -> None:
        for wrong, what, way_out in (
            (not math.isfinite(self.target), f"target is {self.target}", "target_reward(...) finds it"),
            (not self.entropy >= 0, f"entropy is {self.entropy}", "it is in nats, and at least 0"),
            (not 0 <= self.alpha <= 1, f"alpha is {self.alpha}", "it lies in [0, 1]"),
            (not self.beta > 0, f"beta is {self.beta}", "it is above 0"),
            (
                not 1 <= self.shortest <= self.longest,
                f"segments have {self.shortest} to {self.longest} tokens",
                "they have at least one, and no more at least than at most",
            ),
            (self.tries < 1, f"tries is {self.tries}", "try at least once"),
        ):
            if wrong:
                raise ConfigError(f"cards: {what}", hint=way_out)

    def threshold(self, tokens: int, limit: int, of_prompt: float) -> float:
        """tau after so many tokens of at most `limit`; `of_prompt` is r(x)."""
        first = (1 - self.alpha) * of_prompt + self.alpha * self.target
        return min(first + tokens * (self.target - first) / limit, self.target)

    def log_acceptance(self, reward: float, threshold: float) -> float:
        """log P(accept), at most 0."""
        return min(0.0, (reward - threshold) / self.beta)


def divergence(log_acceptance: float, refused: int) -> float:
    """An estimate of KL(policy || base) of one accepted segment, in nats, unbiased over segments.

    The policy is p(s) a(s) / A with A = E_p[a], so KL = E[log a(s)] - log A, and the sum of 1 / k over the
    refused k has the expectation -log A, as refusals are geometric with P(accept) = A.
    """
    return log_acceptance + sum(1 / k for k in range(1, refused + 1))


def divergence_of_best(n: int) -> float:
    """The bound on the KL of the best of n, for a segment that was taken after as many refusals."""
    return math.log(n) - (n - 1) / n


@dataclass(slots=True)
class Segment:
    """Tokens that were drawn one after the other, with log p_base of each."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    text: str | None = None  # of the whole response, where a stop string cuts it here
    ends: bool = False  # whether it ends in an end token
    reward: float = 0.0


@dataclass(eq=False, slots=True)
class Growth:
    """A request and its response as far as it has grown. `name` is what errors call it."""

    request: GuidedRequest
    name: str
    tokens: list[int] = field(default_factory=list)  # of accepted segments
    logprobs: list[float] = field(default_factory=list)
    divergence: float = 0.0  # summed over segments
    of_prompt: float = 0.0  # r(x)
    segment: Segment = field(default_factory=Segment)  # that is drawn
    refused: list[Segment] = field(default_factory=list)  # since the last one was accepted
    refusals: int = 0  # of the whole response
    unread: list[int] = field(default_factory=list)  # tokens that the base has still to read
    logits: Tensor | None = None  # [v] after all that it has read
    at_start: Tensor | None = None  # [v] the same where the segment begins
    waits: bool = False  # whether the segment is whole and wants its reward
    response: GuidedResponse | None = None
    error: ModelError | None = None
    _streams: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def drawn(self) -> int:
        """Tokens of the response, those of the segment included."""
        return len(self.tokens) + len(self.segment.tokens)

    @property
    def is_done(self) -> bool:
        """Whether there is a response or an error."""
        return self.response is not None or self.error is not None

    def uniform(self, which: int, position: int) -> float:
        """A uniform number for a position, other ones after every refusal; the request's own come first.

        Where nothing is refused the response is therefore the base's own with the same seed. No number is
        used twice: what a refused segment was drawn with says something of where it led.
        """
        number = self.refusals
        if number not in self._streams:
            seed = candidate_seed(self.request.seed, number)
            self._streams[number] = random_stream(seed, self.request.max_new_tokens)
        return float(self._streams[number][position, which])

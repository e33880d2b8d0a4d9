"""A request for guided text and the response to it. Token ids and numbers alone: no model is known here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Literal

from genarm.errors import RequestError


@dataclass(frozen=True, slots=True)
class GuidedRequest:
    """A prompt to continue, and how.

    `weights` is by ARM name; an ARM that it does not name has weight 0. Raises RequestError for values
    that make no sense.
    """

    prompt: tuple[int, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0  # 0 takes the best token
    top_k: int = 0  # 0 keeps all
    top_p: float = 1.0
    max_new_tokens: int = 64
    stop: tuple[str, ...] = ()
    seed: int = 0
    ignore_eos: bool = False  # go on after an end token of the model; stop strings still end the response
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
            (
                not _are_strings(self.stop),
                f"stop is {self.stop!r}",
                "it is a tuple of strings, such as ('\\n',)",
            ),
            (
                not isinstance(self.max_new_tokens, Integral),
                f"max_new_tokens is {self.max_new_tokens!r}",
                "it is a whole number",
            ),
            ("" in (self.stop or ()), "a stop string is empty", "leave it out"),
            (not 0 <= self.seed < 2**64, f"seed is {self.seed}", "it lies in [0, 2^64)"),
        ):
            if wrong:
                raise RequestError(what, hint=way_out)


@dataclass(frozen=True, slots=True)
class TokenRewards:
    """Log-probabilities of one token, which show where guidance acts; an ARM's is the reward it gives."""

    base: float
    guided: float  # at temperature 1
    arms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class GuidedResponse:
    """The response to a request.

    `tokens` holds all that was drawn, an end token included, which `text` leaves out; text also ends before a
    stop string. `base_logprob` is sum_t log p_base(y_t), `kl` the mean over tokens of KL(guided || base),
    both in nats. `rewards` has an entry for each token where the request asked for them.
    """

    tokens: tuple[int, ...]
    text: str
    finish_reason: Literal["stop", "length", "cancelled"]
    base_logprob: float
    kl: float
    rewards: tuple[TokenRewards, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A token as it streams, and the text that it completes; joined, the pieces' text is the response's."""

    token: int
    text: str
    rewards: TokenRewards | None = None


def _are_strings(stop: object) -> bool:
    """Whether these are several strings; one string alone would be taken for its letters."""
    if isinstance(stop, str) or not isinstance(stop, Sequence):
        return False
    return all(isinstance(string, str) for string in stop)


def check_servable(
    request: GuidedRequest,
    arms: Sequence[str],
    context: int,
    vocab: int,
    name: str,
    limited: str = "",
) -> None:
    """Raise RequestError for a request that no batch could serve; `name` says which one, in the message.

    `arms` are those that are loaded, `context` the most tokens of prompt and response together, `vocab` how
    many ids are tokens, `limited` why the context is smaller than the models were made for.
    """
    if unknown := [arm for arm in request.weights if arm not in arms]:
        raise RequestError(
            f"{name} names ARM {unknown[0]!r}, which is not loaded",
            hint=f"loaded ARMs: {', '.join(arms) or 'none'}",
        )
    if len(request.prompt) + request.max_new_tokens > context:
        raise RequestError(
            f"{name}: {len(request.prompt)} prompt tokens and {request.max_new_tokens} new "
            f"ones exceed the context of {context}",
            hint="shorten the prompt or lower max_new_tokens" + (f"; {limited}" if limited else ""),
        )
    if not (min(request.prompt) >= 0 and max(request.prompt) < vocab):
        raise RequestError(
            f"{name}: the prompt's ids lie in [{min(request.prompt)}, {max(request.prompt)}], "
            f"the tokenizer has {vocab}",
            hint="render the prompt with the base model's tokenizer",
        )

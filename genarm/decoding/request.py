"""A request for guided text and the response to it. Token ids and numbers alone: no model is known here."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Literal, get_args

from genarm.decoding.preference import check_preference
from genarm.errors import RequestError
from genarm.types import Guidance

FROM_TEXT = (
    'text becomes a prompt by decoder.prompt("hello"), or where there is no decoder yet by '
    'render(load_tokenizer(base), [Message("user", "hello")])'
)
WANTED = 'GuidedRequest(decoder.prompt("hello"), {"positive": 0.3})'


@dataclass(frozen=True, slots=True)
class GuidedRequest:
    """A prompt to continue, and how. Raises RequestError for values that make no sense."""

    prompt: tuple[int, ...]
    """Token ids, as `GuidedDecoder.prompt` makes them of text; any sequence of whole numbers is taken."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each ARM by name, finite and at least 0; an ARM that is not named has 0, which mutes it."""
    temperature: float = 1.0
    """Divides the guided scores before the draw: 1 samples the guided policy, 0 takes the best token."""
    top_k: int = 0
    """Draw among this many most likely tokens; 0 keeps all."""
    top_p: float = 1.0
    """Draw among the fewest most likely tokens with this probability together, in (0, 1]; 1 keeps all."""
    max_new_tokens: int = 64
    """The most tokens of the response, at least 1."""
    stop: tuple[str, ...] = ()
    """Strings that end the response; it does not hold them."""
    seed: int = 0
    """Chooses the random numbers, in [0, 2^64): the same request with the same seed has the same response."""
    ignore_eos: bool = False
    """Whether to go on after an end token of the model; stop strings still end the response."""
    return_rewards: bool = False
    """Whether the response tells the log-probabilities and rewards of every token."""
    return_top: int = 0
    """Of how many of the likeliest tokens it tells the log-probabilities too, at every position."""
    guidance: Guidance | Mapping[str, Guidance] = "sum"
    """What a weight multiplies: `sum` log p_arm, `contrast` log p_arm - log p_start, which is what the ARM
    learned. One for all ARMs, or by name; an ARM that is not named has `sum`."""
    preference: Mapping[str, float] = field(default_factory=dict)
    """How much each preference dimension counts to an ARM that is conditioned on that (PARM): shares by name,
    at least 0, 1 in sum; a dimension that is not named has 0. Other ARMs take none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", _token_ids(self.prompt))
        _check_weights(self.weights)
        _check_guidance(self.guidance)
        check_preference(self.preference)
        for value, name, kind, what in (
            (self.temperature, "temperature", Real, "a number; 0 takes the best token"),
            (self.top_p, "top_p", Real, "a number in (0, 1]"),
            (self.top_k, "top_k", Integral, "a whole number; 0 keeps all tokens"),
            (self.max_new_tokens, "max_new_tokens", Integral, "a whole number"),
            (self.return_top, "return_top", Integral, "a whole number of tokens"),
            (self.seed, "seed", Integral, "a whole number in [0, 2^64)"),
        ):
            if not isinstance(value, kind):
                raise RequestError(f"{name} is {_shown(value)}", hint=f"it is {what}")
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
            (self.return_top < 0, f"return_top is {self.return_top}", "0 tells none"),
            (
                bool(self.return_top) and not self.return_rewards,
                f"return_top is {self.return_top}, and return_rewards is False",
                "they are told with the rewards: return_rewards=True",
            ),
            ("" in (self.stop or ()), "a stop string is empty", "leave it out"),
            (not 0 <= self.seed < 2**64, f"seed is {self.seed}", "it lies in [0, 2^64)"),
        ):
            if wrong:
                raise RequestError(what, hint=way_out)

    @property
    def used(self) -> frozenset[str]:
        """The ARMs that guide it: those with weight."""
        return frozenset(arm for arm, weight in self.weights.items() if weight > 0)

    @property
    def contrasted(self) -> frozenset[str]:
        """Of these, the ones that are contrasted with their start."""
        if isinstance(self.guidance, str):
            return self.used if self.guidance == "contrast" else frozenset()
        return frozenset(arm for arm in self.used if self.guidance.get(arm) == "contrast")


@dataclass(frozen=True, slots=True)
class TokenRewards:
    """Log-probabilities of one token in nats, which show where guidance acts."""

    base: float
    """Under the base model."""
    guided: float
    """Under the guided policy at temperature 1."""
    arms: Mapping[str, float]
    """The reward that each ARM with weight gives to the token, by name: log p_arm of it; under contrast
    log p_arm - log p_start."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens under the guided policy at temperature 1, the likeliest first, with their
    log-probabilities; as many as the request's `return_top`, but none that is ruled out."""


@dataclass(frozen=True, slots=True)
class GuidedResponse:
    """The response to a request."""

    tokens: tuple[int, ...]
    """All that was drawn, an end token included."""
    text: str
    """What the tokens say, without the end token; it ends before a stop string."""
    finish_reason: Literal["stop", "length", "cancelled"]
    """Why it ended: an end token or stop string, `max_new_tokens`, or `Stream.cancel`."""
    base_logprob: float
    """sum_t log p_base(y_t) in nats: how likely the base model alone finds the whole response."""
    kl: float
    """Mean over the tokens of KL(guided || base) in nats: how far guidance moved the policy."""
    rewards: tuple[TokenRewards, ...] = ()
    """One entry for each token, where the request asked for them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A token as it streams, and the text that it completes; joined, the pieces' text is the response's."""

    token: int
    """The token's id."""
    text: str
    """The whole characters that it completes; empty while they might become a stop string."""
    rewards: TokenRewards | None = None
    """Its log-probabilities, where the request asked for them."""


def check_requests(requests: object) -> None:
    """Raise RequestError where `generate` was given anything else than a sequence of requests."""
    if isinstance(requests, GuidedRequest):
        raise RequestError("generate was given one request", hint="put it into a list: generate([request])")
    if isinstance(requests, str | bytes | Mapping) or not isinstance(requests, Sequence):
        raise RequestError(
            f"generate was given {_shown(requests)}, not a list of requests",
            hint=f"generate([{WANTED}])",
        )


def check_request(request: object, name: str) -> None:
    """Raise RequestError for what is no request; `name` says which one, in the message."""
    if not isinstance(request, GuidedRequest):
        raise RequestError(f"{name} is {_shown(request)}, not a GuidedRequest", hint=f"write {WANTED}")


def _token_ids(prompt: object) -> tuple[int, ...]:
    """The prompt as a tuple. Raises RequestError where it is no sequence of whole numbers."""
    if isinstance(prompt, str | bytes | Mapping) or not isinstance(prompt, Sequence):
        way_out = "prompt.tolist() gives token ids" if hasattr(prompt, "tolist") else FROM_TEXT
        raise RequestError(f"the prompt is {_shown(prompt)}, not token ids", hint=way_out)
    for kind in dict.fromkeys(map(type, prompt)):  # a kind at a time: a prompt may be long
        if not issubclass(kind, Integral):
            first = next(token for token in prompt if type(token) is kind)
            raise RequestError(f"the prompt holds {_shown(first)}, which is no token id", hint=FROM_TEXT)
    return tuple(prompt)


def _check_weights(weights: object) -> None:
    """Raise RequestError where weights are no mapping of names to finite numbers of at least 0."""
    if not isinstance(weights, Mapping):
        raise RequestError(
            f"weights is {_shown(weights)}", hint='name the ARM that each belongs to: {"positive": 0.3}'
        )
    for name, weight in weights.items():
        if not (isinstance(weight, Real) and float(weight) >= 0 and math.isfinite(weight)):
            raise RequestError(
                f"weight of ARM {name!r} is {_shown(weight)}", hint="weights are finite numbers >= 0"
            )


def _check_guidance(guidance: object) -> None:
    """Raise RequestError where guidance is neither `sum` nor `contrast`, nor one of them for each ARM."""
    given = guidance.values() if isinstance(guidance, Mapping) else [guidance]
    for value in given:
        if not isinstance(value, str) or value not in get_args(Guidance):
            raise RequestError(
                f"guidance is {_shown(value)}",
                hint='it is "sum", "contrast", or one of them for each ARM: {"positive": "contrast"}',
            )


def _shown(value: object) -> str:
    """A value in a line, with its kind where that is not plain: `'hello'`, `-1.0`, `a Tensor`."""
    if value is None or isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"a {type(value).__name__}"


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
    starts: Container[str] | None = None,
) -> None:
    """Raise RequestError for a request that no batch could serve; `name` says which one, in the message.

    `arms` are those that are loaded, `context` the most tokens of prompt and response together, `vocab` how
    many ids are tokens, `limited` why the context is smaller than the models were made for, `starts` the ARMs
    whose start is loaded (None: all).
    """
    check_request(request, name)
    if unknown := [arm for arm in request.weights if arm not in arms]:
        raise RequestError(
            f"{name} names ARM {unknown[0]!r}, which is not loaded",
            hint=f"loaded ARMs: {', '.join(arms) or 'none'}; more by load_decoder(base, {{NAME: FOLDER}})",
        )
    if starts is not None and (lacking := sorted(a for a in request.contrasted if a not in starts)):
        raise RequestError(
            f"{name} contrasts ARM {lacking[0]!r} with what it was trained from, which is not loaded",
            hint="load_decoder(..., contrast=True) loads what its card names; guidance='sum' needs nothing",
        )
    if unknown := sorted(set({} if isinstance(request.guidance, str) else request.guidance) - set(arms)):
        raise RequestError(
            f"{name} says the guidance of ARM {unknown[0]!r}, which is not loaded",
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

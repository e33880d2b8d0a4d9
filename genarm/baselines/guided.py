"""Guided decoding as a method: weights, guidance and sharpening are the method's, the rest the request's.

guided          log p_base + sum_i w_i r_i           GenARM
base            log p_base
sharpened       log p_base + w log p_base            a control: the base at temperature T / (1 + w)
proxy tuning    log p_base + a (log p_tuned - log p_untuned), both small (arXiv 2401.08565)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from genarm.baselines.counting import Meter
from genarm.decoding import GuidedRequest, GuidedResponse, Piece
from genarm.decoding.engine.engine import Engine
from genarm.decoding.engine.session import EngineSession
from genarm.decoding.engine.stream import EngineStream
from genarm.decoding.request import check_request, check_requests
from genarm.decoding.runner.ensemble import Part, Start
from genarm.errors import ConfigError, RequestError
from genarm.types import Guidance, Message

SHARPENING = "base"  # the base as its own ARM


class Guided:
    """The decoder with fixed weights. It may share the engine with other methods, and counts its own tokens.

    `preference` is the vector of ARMs that are conditioned on one (PARM); without it, that of each request.
    Raises ConfigError for a weight of an ARM that is not loaded.
    """

    def __init__(
        self,
        engine: Engine,
        weights: Mapping[str, float],
        guidance: Guidance | Mapping[str, Guidance] = "sum",
        preference: Mapping[str, float] | None = None,
    ) -> None:
        if unknown := [arm for arm in weights if arm not in engine.arms]:
            raise ConfigError(
                f"the method is guided by ARM {unknown[0]!r}, which is not loaded",
                hint=f"loaded ARMs: {', '.join(engine.arms) or 'none'}",
            )
        self.engine, self.weights, self.guidance = engine, dict(weights), guidance
        self.preference = preference
        self._meter = Meter(lambda: engine.passes)

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens read for this method, by `base` and `arm`."""
        return self._meter.read

    @property
    def context(self) -> int:
        """The most tokens that prompt and response may have together."""
        return self.engine.context

    def prompt(self, text: str | Sequence[Message]) -> tuple[int, ...]:
        """Token ids of a message or a conversation, as of every decoder."""
        return self.engine.prompt(text)

    def session(self) -> "GuidedSession":
        """A new session, empty."""
        return GuidedSession(self.engine.session(), self.asked, self._meter)

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[GuidedResponse]:
        """Responses in the order of the requests. Raises RequestError for a request with own weights."""
        check_requests(requests)
        asked = [self.asked(request, f"request {i}") for i, request in enumerate(requests)]
        with self._meter.running():
            return self.engine.generate(asked, on_tokens)

    def asked(self, request: GuidedRequest, name: str = "the request") -> GuidedRequest:
        """The request with the method's weights. Raises RequestError where it has weights of its own."""
        check_request(request, name)
        if request.weights:
            raise RequestError(
                f"{name} has weights for {', '.join(request.weights)}, and the method has its own",
                hint="leave the weights out of the request; another weight is another method",
            )
        if self.preference is None:
            return replace(request, weights=self.weights, guidance=self.guidance)
        if request.preference:
            raise RequestError(
                f"{name} has a preference of its own, and the method has {dict(self.preference)}",
                hint="leave it out of the request; another vector is another method",
            )
        return replace(request, weights=self.weights, guidance=self.guidance, preference=self.preference)


class GuidedSession:
    """A session of the engine in which every request gets the method's weights."""

    def __init__(
        self, session: EngineSession, asked: Callable[[GuidedRequest], GuidedRequest], meter: Meter
    ) -> None:
        self._session, self._asked, self._meter = session, asked, meter

    def submit(self, request: GuidedRequest) -> "CountedStream":
        """Queue a request. Raises RequestError for one that could not be served."""
        return CountedStream(self._session.submit(self._asked(request)), self._meter)


class CountedStream:
    """A stream of an engine that may serve several methods: what it reads counts for this one."""

    def __init__(self, stream: EngineStream, meter: Meter) -> None:
        self._stream, self._meter = stream, meter

    def __iter__(self) -> Iterator[Piece]:
        pieces = iter(self._stream)
        while True:
            with self._meter.running():
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def cancel(self) -> None:
        """Stop, and let a waiting request have the slot."""
        self._stream.cancel()

    def response(self) -> GuidedResponse:
        """Wait for the end. Raises ModelError where the scores of this request were not finite."""
        with self._meter.running():
            return self._stream.response()


def base(engine: Engine) -> Guided:
    """The base model alone."""
    return Guided(engine, {})


def sharpened(engine: Engine, weight: float) -> Guided:
    """The base at temperature T / (1 + weight): what an ARM that learned nothing does under the sum.

    The base is its own ARM here, which costs nothing, so that the KL from the base is measured as it is for
    every guided request: at temperature 1, KL(softmax((1 + w) log p_base) || p_base).
    """
    part = next(part for part in engine.parts if part.base)
    own = Engine([Part(part.trunk, {SHARPENING: None}, base=True)], engine.tokenizer, slots=engine.slots)
    return Guided(own, {SHARPENING: weight})


def proxy_tuning(engine: Engine, arm: str, alpha: float = 1.0) -> Guided:
    """The base plus alpha times what a small model learned: logit_L + alpha (logit_tuned - logit_untuned).

    `arm` is the small tuned model, and its start the untuned one; the paper has alpha 1. Raises ConfigError
    for an ARM on the base's own weights, whose contrast is no proxy, and for one whose start is not loaded.
    """
    method = Guided(engine, {arm: alpha}, "contrast")
    if any(arm in part.arms for part in engine.parts if part.base):
        raise ConfigError(
            f"ARM {arm!r} is on the base's own weights, and a proxy is another, smaller model",
            hint="train the ARM on a smaller model with the same tokenizer; guided with contrast is "
            "decoding-time realignment",
        )
    if Start(arm) not in {reader for part in engine.parts for reader in part.readers}:
        raise ConfigError(
            f"ARM {arm!r} is contrasted with what it was trained from, which is not loaded",
            hint="load_decoder(..., contrast=True) loads what its card names",
        )
    return method

"""Guided decoding as a method: one weight for each ARM and one temperature, whatever the request says."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.decoding import GuidedDecoder, GuidedRequest, GuidedResponse, load_decoder
from genarm.decoding.protocol import Session, Stream
from genarm.types import Guidance, Message

if TYPE_CHECKING:
    from genarm.experiments.methods import Context


def weighted(
    context: "Context",
    folders: Mapping[str, Path],
    *,
    weights: Mapping[str, float] | None = None,
    guidance: Guidance = "sum",
    sharper: float = 1.0,
) -> "Weighted":
    """The base with ARMs at fixed weights; `sharper` divides the temperature of every request."""
    decoder = load_decoder(
        context.base,
        folders,
        dtype=context.dtype,
        batch_size=context.batch_size,
        contrast=guidance == "contrast",
    )
    return Weighted(decoder, weights or {}, guidance, sharper)


class Weighted:
    """A decoder whose requests all have the same weights; it counts what base and ARMs read."""

    def __init__(
        self, decoder: GuidedDecoder, weights: Mapping[str, float], guidance: Guidance, sharper: float
    ) -> None:
        self._decoder, self._weights, self._guidance, self._sharper = decoder, weights, guidance, sharper
        self._passes: Counter[str] = Counter()

    @property
    def context(self) -> int:
        """The most tokens of prompt and response together."""
        return self._decoder.context

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens that base and ARMs have read; a prompt is read once for each request."""
        return dict(self._passes)

    def prompt(self, text: str | Sequence[Message]) -> tuple[int, ...]:
        """The token ids of a prompt, as the decoder makes them."""
        return self._decoder.prompt(text)

    def session(self) -> Session:
        """A session whose requests get the weights of this method."""
        return _Session(self, self._decoder.session())

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[GuidedResponse]:
        """The responses in the order of the requests."""
        answers = self._decoder.generate([self.own(request) for request in requests], on_tokens)
        for request, answer in zip(requests, answers, strict=True):
            self.count(request, answer)
        return answers

    def own(self, request: GuidedRequest) -> GuidedRequest:
        """A request with the weights and the temperature of this method."""
        return replace(
            request,
            weights=dict(self._weights),
            guidance=self._guidance,
            temperature=request.temperature / self._sharper,
        )

    def count(self, request: GuidedRequest, answer: GuidedResponse) -> None:
        """Note what was read for an answer: the prompt and all tokens but the last."""
        read = len(request.prompt) + len(answer.tokens) - 1
        self._passes["base"] += read
        if used := sum(weight > 0 for weight in self._weights.values()):
            self._passes["arm"] += used * read


class _Session:
    """A session of the decoder, whose requests become those of the method."""

    def __init__(self, method: Weighted, inner: Session) -> None:
        self._method, self._inner = method, inner

    def submit(self, request: GuidedRequest) -> Stream:
        """Queue a request. What is read for a stream is not counted: it may be cancelled."""
        return self._inner.submit(self._method.own(request))

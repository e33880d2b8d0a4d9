"""A session of a method that knows its tokens only at the end: nothing streams before a response is whole.

The first stream that is read answers all requests that were submitted until then, in one batch; each stream
then gives its pieces at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from genarm.decoding import GuidedRequest, GuidedResponse, Piece

Answer = Callable[[Sequence[GuidedRequest]], list[GuidedResponse]]
Check = Callable[[GuidedRequest], object]


class WholeSession:
    """Requests that `answer` serves together, each checked by `check` when it is submitted."""

    def __init__(self, answer: Answer, check: Check) -> None:
        self._answer, self._check = answer, check
        self.waiting: list[WholeStream] = []

    def submit(self, request: GuidedRequest) -> "WholeStream":
        """Queue a request. Raises RequestError for one that could not be served."""
        self._check(request)
        stream = WholeStream(self, request)
        self.waiting.append(stream)
        return stream

    def run(self) -> None:
        """Answer all that wait."""
        streams, self.waiting = self.waiting, []
        for stream, answer in zip(streams, self._answer([s.request for s in streams]), strict=True):
            stream.answer = answer


@dataclass(eq=False)
class WholeStream:
    """One request; its pieces come together once the response is whole, the last one with all the text."""

    session: WholeSession
    request: GuidedRequest
    answer: GuidedResponse | None = None

    def __iter__(self) -> Iterator[Piece]:
        answer = self.response()
        for i, token in enumerate(answer.tokens):
            text = answer.text if i == len(answer.tokens) - 1 else ""
            yield Piece(token, text, answer.rewards[i] if answer.rewards else None)

    def cancel(self) -> None:
        """Take the request back before it is answered: the response is then empty."""
        if self.answer is None:
            self.session.waiting.remove(self)
            self.answer = GuidedResponse((), "", "cancelled", 0.0, 0.0)

    def response(self) -> GuidedResponse:
        """Wait for the end, which all requests of the session reach together.

        Raises ModelError where scores were not finite, and what else the method raises.
        """
        if self.answer is None:
            self.session.run()
        assert self.answer is not None
        return self.answer

"""What a backend of guided decoding provides: a decoder, its sessions, and their streams."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from genarm.decoding.request import GuidedRequest, GuidedResponse, Piece
from genarm.types import Message


class Stream(Protocol):
    """One request as it is answered. Reading one stream advances its whole session."""

    def __iter__(self) -> Iterator[Piece]:
        """The pieces, each as soon as it is drawn. Raises ModelError as `response` does."""

    def cancel(self) -> None:
        """Stop, and let a waiting request have the slot. What was drawn so far is the response."""

    def response(self) -> GuidedResponse:
        """Wait for the end. Raises ModelError where the scores of this request were not finite."""


class Session(Protocol):
    """A place where requests are submitted one by one and share a batch."""

    def submit(self, request: GuidedRequest) -> Stream:
        """Queue a request. Raises RequestError for one that could not be served."""


class GuidedDecoder(Protocol):
    """What every backend provides. The same request gives the same tokens in any batch and any order.

    That holds as far as the model's arithmetic does: a batch of another size may round its sums differently
    and so change a draw that was close, in bfloat16 now and then, in float32 hardly ever.
    """

    @property
    def context(self) -> int:
        """The most tokens that prompt and response may have together."""

    def prompt(self, text: str | Sequence[Message]) -> tuple[int, ...]:
        """The token ids of a request's prompt: a message of the user, or a whole conversation.

        The chat template is applied, up to where the assistant's answer starts. Raises RequestError for what
        is neither, and ModelError where the template refuses the conversation.
        """

    def session(self) -> Session:
        """A new session, empty."""

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[GuidedResponse]:
        """Responses in the order of the requests; `on_tokens` is called with how many tokens each step drew.

        Raises RequestError before any work for a request that cannot be served, and ModelError, after all
        others are answered, for one whose scores were not finite.
        """

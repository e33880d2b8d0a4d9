"""A request from its submission to its response."""

from collections import deque
from dataclasses import dataclass, field

from genarm.decoding.engine.stop import StreamingText
from genarm.decoding.request import GuidedRequest, GuidedResponse, Piece, TokenRewards
from genarm.decoding.runner.ensemble import Reader, Start
from genarm.errors import GenarmError


@dataclass(eq=False, slots=True)
class RequestState:
    """A request and what has become of it. `pieces` and `text` are there where it is streamed."""

    request: GuidedRequest
    number: int  # in its session, for messages
    pieces: deque[Piece] | None = None  # drawn and not read yet
    text: StreamingText | None = None
    tokens: list[int] = field(default_factory=list)  # drawn before it lost its slot
    base_logprob: float = 0.0  # of these tokens
    kl: float = 0.0  # summed over them
    rewards: list[TokenRewards] = field(default_factory=list)
    response: GuidedResponse | None = None
    error: GenarmError | None = None

    @property
    def used(self) -> frozenset[Reader]:
        """The ARMs that guide this request, and the starts that it contrasts them with."""
        return self.request.used | frozenset(Start(arm) for arm in self.request.contrasted)

    @property
    def preference(self) -> tuple[tuple[str, float], ...]:
        """The shares of its preference vector that are not 0, by dimension; empty where it has none."""
        return tuple(sorted((name, float(share)) for name, share in self.request.preference.items() if share))

    @property
    def read(self) -> list[int]:
        """The tokens before the next one."""
        return [*self.request.prompt, *self.tokens]

    @property
    def left(self) -> int:
        """The most tokens still to draw."""
        return self.request.max_new_tokens - len(self.tokens)

    @property
    def done(self) -> bool:
        """Whether there is a response or an error."""
        return self.response is not None or self.error is not None

    def stream(self, token: int) -> None:
        """Queue the newest token as a piece; the last one brings all text that was held back."""
        if self.pieces is None or self.text is None or self.error:
            return
        response = self.response
        text = self.text.add(token) if response is None else self.text.finish(response.text)
        self.pieces.append(Piece(token, text, self.rewards[-1] if self.rewards else None))

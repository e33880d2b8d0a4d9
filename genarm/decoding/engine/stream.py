"""One request as it is answered: its pieces, its end, and how to end it sooner."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from genarm.decoding.engine.slots import Ticket
from genarm.decoding.guidance import GuidedResponse, Piece

if TYPE_CHECKING:
    from genarm.decoding.engine.session import EngineSession


class EngineStream:
    """A request under way in a session."""

    def __init__(self, session: "EngineSession", ticket: Ticket) -> None:
        self._session, self._ticket = session, ticket

    def __iter__(self) -> Iterator[Piece]:
        assert self._ticket.pieces is not None
        while True:
            while self._ticket.pieces:
                yield self._ticket.pieces.popleft()
            if self._ticket.error:
                raise self._ticket.error
            if self._ticket.done:
                return
            self._session.step()

    def cancel(self) -> None:
        if not self._ticket.done:
            self._session.cancel(self._ticket)

    def response(self) -> GuidedResponse:
        while not self._ticket.done:
            self._session.step()
        if self._ticket.error:
            raise self._ticket.error
        assert self._ticket.response is not None
        return self._ticket.response


def tell(ticket: Ticket, token: int) -> None:
    """Let a listener have its newest token, and with the last one all text that was held back."""
    if ticket.pieces is None or ticket.telling is None or ticket.error:
        return
    if ticket.response is not None:
        text = ticket.telling.finish(ticket.response.text)
    else:
        text = ticket.telling.add(token)
    rewards = ticket.rewards[-1] if ticket.rewards else None
    ticket.pieces.append(Piece(token, text, rewards))

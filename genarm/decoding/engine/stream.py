"""One request as it is answered: its pieces, its end, and how to end it sooner."""

from collections.abc import Callable, Iterator

from genarm.decoding.engine.request_state import RequestState
from genarm.decoding.request import GuidedResponse, Piece


class EngineStream:
    """A request under way in a session, of which it knows how to `step` and how to `cancel` a request."""

    def __init__(
        self, state: RequestState, *, step: Callable[[], None], cancel: Callable[[RequestState], None]
    ) -> None:
        self._state, self._step, self._cancel = state, step, cancel

    def __iter__(self) -> Iterator[Piece]:
        assert self._state.pieces is not None
        while True:
            while self._state.pieces:
                yield self._state.pieces.popleft()
            if self._state.error:
                raise self._state.error
            if self._state.done:
                return
            self._step()

    @property
    def ready(self) -> int:
        """How many pieces can be read without another step."""
        return len(self._state.pieces or ())

    @property
    def done(self) -> bool:
        """Whether the request has its response, or has failed."""
        return self._state.done

    def cancel(self) -> None:
        """Stop, and let a waiting request have the slot. What was drawn so far is the response."""
        if not self._state.done:
            self._cancel(self._state)

    def response(self) -> GuidedResponse:
        """Wait for the end. Raises ModelError where the scores of this request were not finite."""
        while not self._state.done:
            self._step()
        if self._state.error:
            raise self._state.error
        assert self._state.response is not None
        return self._state.response

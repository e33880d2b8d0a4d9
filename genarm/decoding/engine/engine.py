"""A `GuidedDecoder` over models in memory."""

from collections.abc import Callable, Sequence

from genarm.decoding.engine.resources import EngineResources
from genarm.decoding.engine.session import EngineSession
from genarm.decoding.request import GuidedRequest, GuidedResponse, check_requests


class Engine(EngineResources):
    """Answers requests, all at once or in sessions."""

    def session(self) -> EngineSession:
        """A new session, empty."""
        return EngineSession(self)

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[GuidedResponse]:
        """Responses in the order of the requests, as `GuidedDecoder.generate` says."""
        check_requests(requests)
        for number, request in enumerate(requests):
            self.check(request, f"request {number}")
        session = self.session()
        session.on_tokens = on_tokens
        states = session.generate(requests)
        for state in states:
            if state.error:
                raise state.error
        return [state.response for state in states if state.response is not None]

"""Continuous batching: requests queue for slots, a slot that falls free is taken at once.

admit    prompts of waiting requests are read ahead, a few at a time, and copied into slots as those fall free
step     every slot reads its newest token and draws the next one
account  end token, stop string or length; the slot is free; a slot that no request wants is dropped later
"""

from collections import deque
from collections.abc import Callable, Sequence

import torch

from genarm.decoding.engine.accounting import account, cancel_waiting, end
from genarm.decoding.engine.admission import Admission
from genarm.decoding.engine.request_state import RequestState
from genarm.decoding.engine.resources import EngineResources
from genarm.decoding.engine.stop import StreamingText
from genarm.decoding.engine.stream import EngineStream
from genarm.decoding.request import GuidedRequest
from genarm.decoding.runner.out_of_memory import is_out_of_memory


class EngineSession:
    """Requests under way on one engine. Not for several threads at once."""

    def __init__(self, engine: EngineResources, on_tokens: Callable[[int], None] | None = None) -> None:
        self.engine, self.on_tokens = engine, on_tokens
        self.admission = Admission(engine.parts, engine.device, engine.slots, engine.policy.reach)
        self._numbers = 0

    def submit(self, request: GuidedRequest) -> EngineStream:
        """Queue a request. Raises RequestError for one that could not be served."""
        state = self._queue(request, streaming=True)
        return EngineStream(state, step=self.step, cancel=self.cancel)

    def _queue(self, request: GuidedRequest, *, streaming: bool) -> RequestState:
        self.engine.check(request, f"request {self._numbers}")
        state = RequestState(request, self._numbers)
        if streaming:
            state.pieces, state.text = deque(), StreamingText(self.engine.stop_criteria, request.stop)
        self._numbers += 1
        self.admission.waiting.append(state)
        return state

    def generate(self, requests: Sequence[GuidedRequest]) -> list[RequestState]:
        """Serve these to the end, longest first, as those that start last should end soon."""
        states = [self._queue(request, streaming=False) for request in requests]
        self.admission.waiting = deque(
            sorted(
                self.admission.waiting,
                key=lambda s: (-s.request.max_new_tokens, len(s.request.prompt), s.request.prompt),
            )
        )
        while not self.admission.empty:
            self.step()
        return states

    @torch.inference_mode()
    def step(self) -> None:
        """Admit waiting requests, and draw for every live one."""
        try:
            slots = self.admission.slots
            if slots.ahead is None or not slots.live.any():  # else the slots stay, until it is done
                slots.ahead = None
                self.admission.admit()
            if self.admission.slots.live.any():
                ensemble, slots = self.admission.make_room(), self.admission.slots
                slots.read_ahead = self.admission.settled
                output = self.engine.policy.step(ensemble, slots)
                tokens = account(output, slots, ensemble, self.engine.stop_criteria)
                if self.on_tokens and tokens:
                    self.on_tokens(tokens)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or self.admission.size < 2:
                raise
            self.admission.shrink()

    @torch.inference_mode()
    def cancel(self, state: RequestState) -> None:
        """End a request with what it has; a slot it held is free."""
        slots, ensemble = self.admission.slots, self.admission.ensemble
        if state in slots.states:
            assert ensemble is not None
            end(slots.states.index(state), "cancelled", slots, ensemble, self.engine.stop_criteria)
        else:
            self.admission.withdraw(state)
            cancel_waiting(state, self.engine.stop_criteria)

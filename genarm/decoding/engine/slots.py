"""What is known of the requests in the batch, a slot each: arrays, so that a step works on all at once."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.engine.request_state import RequestState
from genarm.decoding.engine.stop import StopCriteria
from genarm.decoding.sampling import DRAWS, BatchSampling, random_stream


class Slots:
    """n slots; entry i of every array is that of the same request. A slot without a request is free."""

    def __init__(self, states: Sequence[RequestState], device: torch.device) -> None:
        n, self.device = len(states), device
        longest = max((state.request.max_new_tokens for state in states), default=0)
        self.states: list[RequestState | None] = [None] * n
        self.next = np.zeros(n, dtype=np.int64)  # [n] the token to read next
        self.count = np.zeros(n, dtype=np.int64)  # [n] tokens drawn
        self.limit = np.zeros(n, dtype=np.int64)  # [n] the most tokens to draw
        self.live = np.zeros(n, dtype=bool)  # [n] whether the slot has a request
        self.guided = np.zeros(n, dtype=bool)  # [n] whether an ARM guides it
        self.base_logprob = np.zeros(n)  # [n] summed over the tokens drawn
        self.kl = np.zeros(n)  # [n] summed over the tokens drawn
        # [n] of the drafted tokens tested lately; a new request starts as one of which 3 of 4 stayed.
        self.tested, self.accepted = np.full(n, 4.0), np.full(n, 3.0)
        self.temperature = np.ones(n, dtype=np.float32)  # [n]
        self.top_p = np.ones(n, dtype=np.float32)  # [n]
        self.top_k = np.zeros(n, dtype=np.int64)  # [n]
        self.tokens = np.zeros((n, longest), dtype=np.int64)  # [n, longest] the first `count` are drawn
        self.uniform = np.zeros((n, longest, DRAWS))  # [n, longest, DRAWS] the numbers that draw them
        self.with_stop_strings: list[int] = []
        self.per_token: list[int] = []  # slots whose request streams, or asks for rewards
        self._sampling: BatchSampling | None = None
        self._weights: dict[str, Tensor] = {}
        for slot, state in enumerate(states):
            self.put(slot, state)

    def __len__(self) -> int:
        return len(self.states)

    def put(self, slot: int, state: RequestState) -> None:
        """Give a request this slot."""
        request, drawn = state.request, len(state.tokens)
        if request.max_new_tokens > self.tokens.shape[1]:
            more = request.max_new_tokens - self.tokens.shape[1]
            self.tokens = np.pad(self.tokens, ((0, 0), (0, more)))
            self.uniform = np.pad(self.uniform, ((0, 0), (0, more), (0, 0)))
        self.states[slot] = state
        self.next[slot] = state.read[-1]
        self.count[slot], self.limit[slot], self.live[slot] = drawn, request.max_new_tokens, True
        self.guided[slot] = bool(state.used)
        self.base_logprob[slot], self.kl[slot] = state.base_logprob, state.kl
        self.temperature[slot], self.top_k[slot] = request.temperature, request.top_k
        self.top_p[slot] = request.top_p
        self.tested[slot], self.accepted[slot] = 4, 3
        self.tokens[slot, :drawn] = state.tokens
        self.uniform[slot, : request.max_new_tokens] = random_stream(request.seed, request.max_new_tokens)
        self._forget()

    def free(self, slot: int) -> None:
        """The request here has ended, or waits again."""
        self.states[slot], self.live[slot] = None, False
        self.temperature[slot], self.top_k[slot], self.top_p[slot] = 1, 0, 1
        self._forget()

    def kept(self, slots: Sequence[int], more: Sequence[RequestState]) -> "Slots":
        """These slots, as they are, and after them one for each of some new requests."""
        new = Slots([], self.device)
        old, index = vars(self), list(slots)
        for name, value in old.items():
            if isinstance(value, np.ndarray):
                empty = np.zeros((len(more), *value.shape[1:]), dtype=value.dtype)
                setattr(new, name, np.concatenate((value[index], empty)))
        new.states = [self.states[i] for i in index] + [None] * len(more)
        for slot, state in enumerate(more, start=len(index)):
            new.put(slot, state)
        new._forget()
        return new

    def _forget(self) -> None:
        self._sampling, self._weights = None, {}
        held = [(i, state) for i, state in enumerate(self.states) if state is not None]
        self.with_stop_strings = [i for i, state in held if state.request.stop]
        self.per_token = [i for i, state in held if state.pieces is not None or state.request.return_rewards]

    @property
    def sampling(self) -> BatchSampling:
        """How each slot samples; a free one as if nothing were asked for."""
        if self._sampling is None:
            self._sampling = BatchSampling.of(self.temperature, self.top_k, self.top_p, self.device)
        return self._sampling

    def weights(self, arm: str, slots: Tensor) -> Tensor:
        """The weight [m] of an ARM in each of the slots [m] that it guides; 0 in a free one."""
        if arm not in self._weights:
            states = [self.states[i] for i in slots.tolist()]
            values = [0.0 if s is None else s.request.weights.get(arm, 0.0) for s in states]
            self._weights[arm] = torch.tensor(values, dtype=torch.float32, device=self.device)
        return self._weights[arm]

    def stopped(self, active: np.ndarray, stop: StopCriteria) -> dict[int, str]:
        """By slot, the text of each request in `active` [n] whose last token completed a stop string."""
        texts = {}
        for slot in self.with_stop_strings:
            state = self.states[slot]
            if active[slot] and state is not None:
                text = stop.text_before_stop(self.drawn(slot), state.request.stop)
                if text is not None:
                    texts[slot] = text
        return texts

    def drawn(self, slot: int) -> list[int]:
        """The tokens of a slot's request so far."""
        tokens: list[int] = self.tokens[slot, : self.count[slot]].tolist()
        return tokens

"""What is known of the requests in the batch, a slot each: arrays, so that a step works on all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.engine.request_state import RequestState
from genarm.decoding.engine.stop import StopCriteria
from genarm.decoding.sampling import DRAWS, BatchSampling, random_stream


@dataclass(eq=False)
class SlotArrays:
    """What a step needs of n slots: entry i of every array is that of the same request."""

    next: np.ndarray  # [n] the token to read next
    count: np.ndarray  # [n] tokens drawn
    limit: np.ndarray  # [n] the most tokens to draw
    live: np.ndarray  # [n] whether the slot has a request
    guided: np.ndarray  # [n] whether an ARM guides it
    base_logprob: np.ndarray  # [n] summed over the tokens drawn
    kl: np.ndarray  # [n] the same
    ignore_eos: np.ndarray  # [n] whether an end token does not end the response
    tested: np.ndarray  # [n] drafted tokens that were tested lately
    accepted: np.ndarray  # [n] of these, the ones that stayed
    temperature: np.ndarray  # [n]
    top_p: np.ndarray  # [n]
    top_k: np.ndarray  # [n]
    tokens: np.ndarray  # [n, longest] of which the first `count` are drawn
    uniform: np.ndarray  # [n, longest, DRAWS] the numbers that draw them

    def __init__(self, n: int, longest: int) -> None:
        self.next, self.count, self.limit = (np.zeros(n, dtype=np.int64) for _ in range(3))
        self.live, self.guided, self.ignore_eos = (np.zeros(n, dtype=bool) for _ in range(3))
        self.base_logprob, self.kl = np.zeros(n), np.zeros(n)
        self.tested, self.accepted = np.zeros(n), np.zeros(n)
        self.temperature, self.top_p = np.ones(n, dtype=np.float32), np.ones(n, dtype=np.float32)
        self.top_k = np.zeros(n, dtype=np.int64)
        self.tokens = np.zeros((n, longest), dtype=np.int64)
        self.uniform = np.zeros((n, longest, DRAWS))

    def take(self, other: "SlotArrays", slots: Sequence[int], more: int) -> None:
        """Become these slots of `other`, and after them `more` empty ones."""
        for array in fields(SlotArrays):
            values: np.ndarray = getattr(other, array.name)
            empty = np.zeros((more, *values.shape[1:]), dtype=values.dtype)
            setattr(self, array.name, np.concatenate((values[list(slots)], empty)))


class Slots(SlotArrays):
    """n slots and the requests that have them. A slot without a request is free."""

    def __init__(self, states: Sequence[RequestState], device: torch.device) -> None:
        super().__init__(len(states), max((state.request.max_new_tokens for state in states), default=0))
        self.device = device
        self.states: list[RequestState | None] = [None] * len(states)
        self.with_stop_strings: list[int] = []
        self.per_token: list[int] = []  # slots whose request streams, or asks for rewards
        self.version = 0  # another one as soon as a slot has another request, or none
        self.read_ahead = False  # whether the next step may begin before this one's tokens are known
        self.ahead: object = None  # the step that has begun, or what it has read
        self._sampling: BatchSampling | None = None
        self._weights: dict[str, tuple[Tensor, Tensor]] = {}  # by ARM: the slots asked for, and the weights
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
        self.guided[slot], self.ignore_eos[slot] = bool(state.used), request.ignore_eos
        self.base_logprob[slot], self.kl[slot] = state.base_logprob, state.kl
        self.temperature[slot], self.top_k[slot] = request.temperature, request.top_k
        self.top_p[slot] = request.top_p
        self.tested[slot], self.accepted[slot] = 4, 3  # as if 3 of 4 had stayed
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
        new.take(self, slots, len(more))
        new.states = [self.states[i] for i in slots] + [None] * len(more)
        for slot, state in enumerate(more, start=len(slots)):
            new.put(slot, state)
        new._forget()
        return new

    def _forget(self) -> None:
        self._sampling, self._weights = None, {}
        self.version += 1
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
        asked, weights = self._weights.get(arm, (None, None))
        if weights is None or asked is not slots:  # the same tensor, until the ensemble is arranged anew
            values = self.weights_of(arm, slots.tolist())
            weights = torch.tensor(values, dtype=torch.float32, device=self.device)
            self._weights[arm] = slots, weights
        return weights

    def weights_of(self, arm: str, slots: Sequence[int]) -> list[float]:
        """The weight of an ARM in each of these slots; 0 in a free one."""
        states = [self.states[i] for i in slots]
        return [0.0 if s is None else s.request.weights.get(arm, 0.0) for s in states]

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

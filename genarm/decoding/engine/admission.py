"""Who has a slot: requests wait, their prompts are read ahead, and each gets a slot as one falls free.

A free slot that the same ARMs and starts served is taken in place, its part of the cache overwritten. Where
there is none, or the cache has no room, all that is live moves to the left end of a new cache, with the
arrivals.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from genarm.decoding.engine.request_state import RequestState
from genarm.decoding.engine.slots import Slots
from genarm.decoding.runner.ensemble import Ensemble, Part, Reader, assemble

SLACK = 64  # columns beyond the longest request while others wait, so that the cache is moved rarely
log = logging.getLogger(__name__)


@dataclass
class PrefilledPrompts:
    """Prompts that have been read, a slot of an ensemble each, and the waiting requests that need them."""

    ensemble: Ensemble
    requests: deque[tuple[RequestState, int]]  # a request, and the slot that holds its prompt


class Admission:
    """The requests of a session: those that wait, those whose prompts are read, and those in slots.

    `size` is the most slots, `reach` the most columns of the cache that a step writes.
    """

    def __init__(self, parts: Sequence[Part], device: torch.device, size: int, reach: int) -> None:
        self.parts, self.device, self.size, self.reach = parts, device, size, reach
        self.waiting: deque[RequestState] = deque()
        self.prefilled: PrefilledPrompts | None = None
        self.slots = Slots([], device)
        self.ensemble: Ensemble | None = None  # reads the slots' tokens; None while there are no slots

    @property
    def empty(self) -> bool:
        """Whether no request waits or has a slot."""
        return not (self.waiting or self.prefilled or self.slots.live.any())

    def admit(self) -> None:
        """Give slots to waiting requests, as many as may be live; drop free slots that are many."""
        vacant = self.size - int(self.slots.live.sum())
        while vacant and (self.prefilled or self.waiting):
            if self.prefilled is None:
                self.prefilled = self._prefill(max(vacant, self.size // 4))
            prefilled = self.prefilled
            count = min(vacant, len(prefilled.requests))
            self._assign(list(prefilled.requests)[:count], prefilled)
            for _ in range(count):  # not before: memory may have run out
                prefilled.requests.popleft()
            if not prefilled.requests:
                self.prefilled = None
            vacant -= count
        if self._many_free:
            self._rearrange([], None)

    @property
    def settled(self) -> bool:
        """Whether there is nothing to admit, to drop or to move."""
        waiting = (self.prefilled or self.waiting) and int(self.slots.live.sum()) < self.size
        return not waiting and not self._many_free

    @property
    def _many_free(self) -> bool:
        free = len(self.slots) - int(self.slots.live.sum())
        # On a GPU a step costs about the same with more slots; for fewer it would be recorded anew.
        few = 2 if self.device.type == "cuda" else 4
        return bool(free) and few * free >= len(self.slots)

    def make_room(self) -> Ensemble:
        """The ensemble of the live slots, with room for a step, or with one that has begun."""
        if self.slots.ahead is None and self.ensemble is not None and not self.ensemble.fits(self.reach):
            self._rearrange([], None)
        assert self.ensemble is not None
        return self.ensemble

    def shrink(self) -> None:
        """Go on with half the slots: every request that had one waits again, with the tokens it has."""
        self.size = max(1, min(self.size, len(self.slots) or self.size) // 2)
        log.warning("out of memory: going on with %d slots", self.size)
        held = [state for state in self.slots.states if state is not None]
        for slot in np.flatnonzero(self.slots.live).tolist():
            self._suspend(slot)
        prefilled = [s for s, _ in self.prefilled.requests if s not in held] if self.prefilled else []
        self.waiting.extendleft(reversed([*held, *prefilled]))
        self.slots, self.ensemble, self.prefilled = Slots([], self.device), None, None
        for part in self.parts:
            part.trunk.recorder.forget()

    def _suspend(self, slot: int) -> None:
        state = self.slots.states[slot]
        assert state is not None
        state.tokens = self.slots.drawn(slot)
        state.base_logprob = float(self.slots.base_logprob[slot])
        state.kl = float(self.slots.kl[slot])

    def withdraw(self, state: RequestState) -> None:
        """Let a request that has no slot wait no longer."""
        self.waiting = deque(other for other in self.waiting if other is not state)
        if self.prefilled:
            remaining = deque(pair for pair in self.prefilled.requests if pair[0] is not state)
            self.prefilled.requests = remaining
            self.prefilled = self.prefilled if remaining else None

    def _prefill(self, most: int) -> PrefilledPrompts:
        """Read the prompts of the next requests, up to `most` different ones, each once.

        An ARM that is conditioned reads a prompt anew for each preference vector.
        """
        slot_of: dict[tuple[tuple[int, ...], tuple[tuple[str, float], ...]], int] = {}
        used: list[frozenset[Reader]] = []
        requests: deque[tuple[RequestState, int]] = deque()
        for state in self.waiting:
            prompt = tuple(state.read[:-1]), state.preference
            if prompt not in slot_of:
                if len(slot_of) == most:
                    break
                slot_of[prompt] = len(slot_of)
                used.append(frozenset())
            requests.append((state, slot_of[prompt]))
            used[slot_of[prompt]] |= state.used
        prompts = [prompt for prompt, _ in slot_of]
        widest = max(map(len, prompts))
        capacity = widest
        if self.ensemble is None:  # these prompts may well be all that will be live
            waiting = len(self.waiting) > len(requests)
            capacity += max(state.left for state, _ in requests) + self._spare(waiting)
        ensemble = Ensemble(self.parts, used, max(capacity, 1))
        ensemble.condition([dict(preference) for _, preference in slot_of])
        ensemble.prefill(prompts)
        for _ in requests:
            self.waiting.popleft()
        return PrefilledPrompts(ensemble, requests)

    def _assign(self, arrivals: Sequence[tuple[RequestState, int]], prefilled: PrefilledPrompts) -> None:
        """Give these a slot: a free one that the same readers served, else one of a new arrangement."""
        ensemble = prefilled.ensemble
        if (
            self.ensemble is None
            and len(arrivals) == len(prefilled.requests)  # nobody else waits for a prompt of it
            and [(s.used, slot) for s, slot in arrivals] == [(u, i) for i, u in enumerate(ensemble.used)]
        ):  # nothing to move
            self.ensemble = ensemble
            self.slots = self.slots.kept([], [state for state, _ in arrivals])
            return
        free: dict[frozenset[Reader], list[int]] = {}
        if self.ensemble is not None:
            for slot in np.flatnonzero(~self.slots.live).tolist():
                free.setdefault(self.ensemble.used[slot], []).append(slot)
        targets = [free[s.used].pop() if free.get(s.used) else None for s, _ in arrivals]
        tokens = max(state.left for state, _ in arrivals) + self.reach
        if self.ensemble is None or None in targets or not self.ensemble.has_room(ensemble, tokens):
            self._rearrange(arrivals, ensemble)
            return
        slots = [slot for slot in targets if slot is not None]
        self.ensemble.take(slots, ensemble, [source for _, source in arrivals])
        for slot, (state, _) in zip(slots, arrivals, strict=True):
            self.slots.put(slot, state)

    def _rearrange(self, arrivals: Sequence[tuple[RequestState, int]], ensemble: Ensemble | None) -> None:
        """Drop free slots, add these requests, and move all that is live to the left end of a new cache."""
        live = np.flatnonzero(self.slots.live).tolist()
        sources = [] if self.ensemble is None else [(self.ensemble, live)]
        used = [] if self.ensemble is None else [self.ensemble.used[i] for i in live]
        if ensemble is not None:
            sources.append((ensemble, [slot for _, slot in arrivals]))
        self.slots = self.slots.kept(live, [state for state, _ in arrivals])
        used += [state.used for state, _ in arrivals]
        if not used:
            self.ensemble = None
            return
        # A request that waits now and takes a free slot later is to find room.
        waiting = [*self.waiting, *((s for s, _ in self.prefilled.requests) if self.prefilled else ())]
        left = int((self.slots.limit - self.slots.count).max())
        longest = max((len(s.read) + s.left for s in waiting), default=0)
        capacity = max(max(source.width for source, _ in sources) + left, longest)
        capacity += self._spare(bool(waiting))
        self.ensemble = assemble(self.parts, sources, used, capacity)

    def _spare(self, waiting: bool) -> int:
        """Columns beyond those that the requests fill."""
        return self.reach + (SLACK if waiting else 0)

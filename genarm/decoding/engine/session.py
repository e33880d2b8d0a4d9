"""Continuous batching: requests queue for slots, a slot that falls free is taken at once.

admit    prompts of waiting requests are read ahead, a few at a time, and copied into slots as those fall free
step     every slot reads its newest token and draws the next one
account  end token, stop string or length; the slot is free; a slot that nobody waits for is dropped later
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from genarm.decoding.engine.policy import Drawn
from genarm.decoding.engine.slots import Slots, Ticket
from genarm.decoding.engine.stop import Telling
from genarm.decoding.engine.stream import EngineStream, tell
from genarm.decoding.guidance import GuidedRequest, GuidedResponse, check_servable
from genarm.decoding.runner.ensemble import Ensemble, assembled
from genarm.errors import ModelError

if TYPE_CHECKING:
    from genarm.decoding.engine.engine import Engine

SLACK = 64  # columns beyond the longest request while others wait, so that the cache is moved rarely
log = logging.getLogger(__name__)


@dataclass
class Ahead:
    """Prompts that have been read, and the waiting requests that each is for."""

    ensemble: Ensemble
    tickets: deque[tuple[Ticket, int]]  # a request and which sequence is its prompt


class EngineSession:
    """Requests in flight on one engine. Not for several threads at once."""

    def __init__(self, engine: "Engine", on_tokens: Callable[[int], None] | None = None) -> None:
        self.engine, self.on_tokens = engine, on_tokens
        self.size = engine.slots  # most requests in flight
        self.waiting: deque[Ticket] = deque()
        self.ahead: Ahead | None = None
        self.slots = Slots([], engine.device)
        self.ensemble: Ensemble | None = None
        self._numbers = 0

    def submit(self, request: GuidedRequest) -> EngineStream:
        return EngineStream(self, self._queue(request, listening=True))

    def _queue(self, request: GuidedRequest, *, listening: bool) -> Ticket:
        engine = self.engine
        check_servable(request, engine.arms, engine.context, engine.vocab, f"request {self._numbers}")
        ticket = Ticket(request, self._numbers)
        if listening:
            ticket.pieces, ticket.telling = deque(), Telling(engine.ending, request.stop)
        self._numbers += 1
        self.waiting.append(ticket)
        return ticket

    def answer(self, requests: Sequence[GuidedRequest]) -> list[Ticket]:
        """Serve these to the end, longest first, as those that start last should end soon."""
        tickets = [self._queue(request, listening=False) for request in requests]
        self.waiting = deque(
            sorted(
                self.waiting,
                key=lambda t: (-t.request.max_new_tokens, len(t.request.prompt), t.request.prompt),
            )
        )
        while self.waiting or self.ahead or self.slots.live.any():
            self.step()
        return tickets

    @torch.inference_mode()
    def step(self) -> None:
        """Admit who waits, and draw for every request in flight."""
        try:
            self._admit()
            if self.slots.live.any():
                assert self.ensemble is not None
                if not self.ensemble.fits(self.engine.policy.reach):
                    self._rearrange([], None)
                self._account(self.engine.policy.step(self.ensemble, self.slots))
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error) or self.size < 2:
                raise
            self._shrink()

    def _shrink(self) -> None:
        """Go on with half the slots: all that was in flight waits again, with the tokens it has."""
        self.size = max(1, min(self.size, len(self.slots) or self.size) // 2)
        log.warning("out of memory: going on with %d slots", self.size)
        held = [ticket for ticket in self.slots.tickets if ticket is not None]
        for place in np.flatnonzero(self.slots.live).tolist():
            self._suspend(place)
        ahead = [t for t, _ in self.ahead.tickets if t not in held] if self.ahead else []
        self.waiting.extendleft(reversed([*held, *ahead]))
        self.slots, self.ensemble, self.ahead = Slots([], self.engine.device), None, None

    def _suspend(self, place: int) -> None:
        ticket = self.slots.tickets[place]
        assert ticket is not None
        ticket.tokens = self.slots.drawn(place)
        ticket.base_logprob = float(self.slots.base_logprob[place])
        ticket.kl = float(self.slots.kl[place])

    # Admitting

    def _admit(self) -> None:
        free = self.size - int(self.slots.live.sum())
        while free and (self.ahead or self.waiting):
            if self.ahead is None:
                self.ahead = self._read_ahead(max(free, self.size // 4))
            count = min(free, len(self.ahead.tickets))
            self._seat(list(self.ahead.tickets)[:count], self.ahead.ensemble)
            for _ in range(count):  # not before: memory may have run out
                self.ahead.tickets.popleft()
            if not self.ahead.tickets:
                self.ahead = None
            free -= count
        dead = len(self.slots) - int(self.slots.live.sum())
        if dead and 4 * dead >= len(self.slots):
            self._rearrange([], None)

    def _read_ahead(self, most: int) -> Ahead:
        """Read the prompts of the next requests, up to `most` different ones, each once."""
        place: dict[tuple[int, ...], int] = {}
        used: list[frozenset[str]] = []
        tickets: deque[tuple[Ticket, int]] = deque()
        for ticket in self.waiting:
            prompt = tuple(ticket.read[:-1])
            if prompt not in place:
                if len(place) == most:
                    break
                place[prompt] = len(place)
                used.append(frozenset())
            tickets.append((ticket, place[prompt]))
            used[place[prompt]] |= ticket.used
        widest = max(map(len, place))
        capacity = widest
        if self.ensemble is None:  # what is read now may well be all that is in flight
            waiting = len(self.waiting) > len(tickets)
            capacity += max(ticket.left for ticket, _ in tickets) + self._spare(waiting)
        ensemble = Ensemble(self.engine.parts, used, max(capacity, 1))
        ensemble.prefill(list(place))
        for _ in tickets:
            self.waiting.popleft()
        return Ahead(ensemble, tickets)

    def _seat(self, arrivals: Sequence[tuple[Ticket, int]], ensemble: Ensemble) -> None:
        """Give these a slot: one that fell free where the same ARMs spoke, else by a new arrangement."""
        shared = self.ahead is not None and len(arrivals) < len(self.ahead.tickets)
        if (
            self.ensemble is None
            and not shared
            and [(t.used, s) for t, s in arrivals]
            == [(used, sequence) for sequence, used in enumerate(ensemble.used)]
        ):  # nothing to move, and nobody else waits for what was read
            self.ensemble = ensemble
            self.slots = self.slots.kept([], [ticket for ticket, _ in arrivals])
            return
        dead: dict[frozenset[str], list[int]] = {}
        if self.ensemble is not None:
            for place in np.flatnonzero(~self.slots.live).tolist():
                dead.setdefault(self.ensemble.used[place], []).append(place)
        places = [dead[t.used].pop() if dead.get(t.used) else None for t, _ in arrivals]
        tokens = max(ticket.left for ticket, _ in arrivals) + self.engine.policy.reach
        if self.ensemble is None or None in places or not self.ensemble.has_room(ensemble, tokens):
            self._rearrange(arrivals, ensemble)
            return
        found = [place for place in places if place is not None]
        self.ensemble.take(found, ensemble, [sequence for _, sequence in arrivals])
        for place, (ticket, _) in zip(found, arrivals, strict=True):
            self.slots.put(place, ticket)

    def _rearrange(self, arrivals: Sequence[tuple[Ticket, int]], ensemble: Ensemble | None) -> None:
        """Drop dead slots, add these, move all that is alive to the left end of a new cache."""
        alive = np.flatnonzero(self.slots.live).tolist()
        sources = [] if self.ensemble is None else [(self.ensemble, alive)]
        used = [] if self.ensemble is None else [self.ensemble.used[i] for i in alive]
        if ensemble is not None:
            sources.append((ensemble, [sequence for _, sequence in arrivals]))
        self.slots = self.slots.kept(alive, [ticket for ticket, _ in arrivals])
        used += [ticket.used for ticket, _ in arrivals]
        if not used:
            self.ensemble = None
            return
        # Whoever takes a free slot later finds room, where it is one that waits now.
        waiting = [*self.waiting, *((t for t, _ in self.ahead.tickets) if self.ahead else ())]
        left = int((self.slots.limit - self.slots.count).max())
        longest = max((len(t.read) + t.left for t in waiting), default=0)
        capacity = max(max(source.width for source, _ in sources) + left, longest)
        capacity += self._spare(bool(waiting))
        self.ensemble = assembled(self.engine.parts, sources, used, capacity)

    def _spare(self, waiting: bool) -> int:
        """Columns beyond those that the requests fill."""
        return self.engine.policy.reach + (SLACK if waiting else 0)

    # Ending

    def cancel(self, ticket: Ticket) -> None:
        """End a request with what it has; a slot it held is free."""
        if ticket in self.slots.tickets:
            self._end(self.slots.tickets.index(ticket), "cancelled", None)
            return
        self.waiting = deque(other for other in self.waiting if other is not ticket)
        if self.ahead:
            self.ahead.tickets = deque(pair for pair in self.ahead.tickets if pair[0] is not ticket)
            self.ahead = self.ahead if self.ahead.tickets else None
        # One that lost its slot has drawn tokens, and told text.
        told = 0 if ticket.telling is None else ticket.telling.told
        ticket.response = GuidedResponse(
            tuple(ticket.tokens),
            self.engine.ending.text(ticket.tokens)[:told],
            "cancelled",
            ticket.base_logprob,
            ticket.kl / max(len(ticket.tokens), 1),
            tuple(ticket.rewards),
        )

    def _account(self, drawn: Drawn) -> None:
        """Take up what was drawn, token by token of all slots at once, and end who is done."""
        slots, places = self.slots, np.arange(len(self.slots))
        total = 0
        for column in range(drawn.tokens.shape[1]):
            active = slots.live & (drawn.counts > column)
            if not active.any():
                break
            mine, token = places[active], drawn.tokens[active, column]
            slots.tokens[mine, slots.count[mine]] = token
            slots.next[mine] = token
            slots.count[mine] += 1
            slots.base_logprob[mine] += drawn.base_logprob[active, column]
            # 0 where nothing guides, without rounding.
            slots.kl[mine] += np.where(slots.guided[mine], drawn.kl[active, column], 0)
            total += len(mine)
            failed = ~np.isfinite(slots.base_logprob[mine] + slots.kl[mine])
            ended = np.isin(token, self.engine.ending.ids)
            over = ended | failed | (slots.count[mine] == slots.limit[mine])
            texts = slots.stopped(active, self.engine.ending)
            heard = [(i, t) for i in slots.heard if active[i] and (t := slots.tickets[i]) is not None]
            for place, ticket in heard:
                if (place, column) in drawn.rewards:
                    ticket.rewards.append(drawn.rewards[place, column])
            for place in {*mine[over].tolist(), *texts}:
                k = int(np.searchsorted(mine, place))
                if failed[k]:
                    self._fail(place)
                else:
                    stopped = bool(ended[k]) or place in texts
                    self._end(place, "stop" if stopped else "length", texts.get(place), ended=bool(ended[k]))
            for place, ticket in heard:
                tell(ticket, int(drawn.tokens[place, column]))
        # A free slot reads on until it is taken; what it writes must be finite, or a mask could not hide it.
        strange = ~slots.live & ~np.isfinite(drawn.base_logprob + drawn.kl).all(-1)
        if strange.any() and self.ensemble is not None:
            self.ensemble.leave(np.flatnonzero(strange).tolist(), wipe=True)
        if self.on_tokens and total:
            self.on_tokens(total)

    def _end(
        self,
        place: int,
        reason: Literal["stop", "length", "cancelled"],
        text: str | None,
        *,
        ended: bool = False,
    ) -> None:
        slots, ending = self.slots, self.engine.ending
        ticket, tokens = slots.tickets[place], slots.drawn(place)
        assert ticket is not None and self.ensemble is not None
        if text is None:
            text = ending.text(tokens[:-1] if ended else tokens)
        if reason == "cancelled" and ticket.telling is not None:
            text = text[: ticket.telling.told]  # what was held back will not be told any more
        kl = float(slots.kl[place]) / max(len(tokens), 1)
        ticket.response = GuidedResponse(
            tuple(tokens), text, reason, float(slots.base_logprob[place]), kl, tuple(ticket.rewards)
        )
        slots.free(place)
        self.ensemble.leave([place])

    def _fail(self, place: int) -> None:
        slots, ticket = self.slots, self.slots.tickets[place]
        assert ticket is not None and self.ensemble is not None
        ticket.error = ModelError(
            f"request {ticket.number}: the model's scores are no numbers: after {slots.count[place]} tokens "
            f"the base log-probability is {slots.base_logprob[place]}, the KL to the base {slots.kl[place]}",
            hint="decode in another dtype, or check the weights of base and ARMs",
        )
        self.ensemble.leave([place], wipe=True)
        slots.free(place)


def _is_out_of_memory(error: BaseException) -> bool:
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in said

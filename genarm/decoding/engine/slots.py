"""What is known of the requests in flight, a slot each: arrays, so that a step works on all at once."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from genarm.decoding.engine.stop import Ending, Telling
from genarm.decoding.guidance import GuidedRequest, GuidedResponse, Piece, TokenRewards
from genarm.decoding.sampling import DRAWS, Knobs, random_stream
from genarm.errors import GenarmError


@dataclass(eq=False, slots=True)
class Ticket:
    """A request from its submission to its response."""

    request: GuidedRequest
    number: int
    pieces: deque[Piece] | None = None  # for a stream that listens
    telling: Telling | None = None
    tokens: list[int] = field(default_factory=list)  # drawn before it lost its slot
    base_logprob: float = 0.0
    kl: float = 0.0
    rewards: list[TokenRewards] = field(default_factory=list)
    response: GuidedResponse | None = None
    error: GenarmError | None = None

    @property
    def used(self) -> frozenset[str]:
        """The ARMs that speak for this request."""
        return frozenset(arm for arm, weight in self.request.weights.items() if weight > 0)

    @property
    def read(self) -> list[int]:
        """What comes before the next token."""
        return [*self.request.prompt, *self.tokens]

    @property
    def left(self) -> int:
        """Most tokens still to draw."""
        return self.request.max_new_tokens - len(self.tokens)

    @property
    def done(self) -> bool:
        return self.response is not None or self.error is not None


class Slots:
    """n slots; entry i of every array is that of the same request. A slot whose request has ended is dead."""

    def __init__(self, tickets: Sequence[Ticket], device: torch.device) -> None:
        n, self.device = len(tickets), device
        self.tickets: list[Ticket | None] = [None] * n
        self.next = np.zeros(n, dtype=np.int64)  # the token to read next
        self.count = np.zeros(n, dtype=np.int64)  # tokens drawn
        self.limit = np.zeros(n, dtype=np.int64)
        self.live, self.guided = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        self.base_logprob, self.kl = np.zeros(n), np.zeros(n)
        # Of the drafted tokens tested lately; a new request starts as one of which 3 of 4 stayed.
        self.tested, self.accepted = np.full(n, 4.0), np.full(n, 3.0)
        self.temperature, self.top_p = np.ones(n, dtype=np.float32), np.ones(n, dtype=np.float32)
        self.top_k = np.zeros(n, dtype=np.int64)
        longest = max((ticket.request.max_new_tokens for ticket in tickets), default=0)
        self.tokens = np.zeros((n, longest), dtype=np.int64)
        self.uniform = np.zeros((n, longest, DRAWS))
        self.stops: list[int] = []  # slots with stop strings
        self.heard: list[int] = []  # slots with a listener
        self._knobs: Knobs | None = None
        self._weights: dict[str, torch.Tensor] = {}
        for place, ticket in enumerate(tickets):
            self.put(place, ticket)

    def __len__(self) -> int:
        return len(self.tickets)

    def put(self, place: int, ticket: Ticket) -> None:
        """Let a request have this slot."""
        request, drawn = ticket.request, len(ticket.tokens)
        if request.max_new_tokens > self.tokens.shape[1]:
            more = request.max_new_tokens - self.tokens.shape[1]
            self.tokens = np.pad(self.tokens, ((0, 0), (0, more)))
            self.uniform = np.pad(self.uniform, ((0, 0), (0, more), (0, 0)))
        self.tickets[place] = ticket
        self.next[place] = ticket.read[-1]
        self.count[place], self.limit[place], self.live[place] = drawn, request.max_new_tokens, True
        self.guided[place] = bool(ticket.used)
        self.base_logprob[place], self.kl[place] = ticket.base_logprob, ticket.kl
        self.temperature[place], self.top_k[place] = request.temperature, request.top_k
        self.top_p[place] = request.top_p
        self.tested[place], self.accepted[place] = 4, 3
        self.tokens[place, :drawn] = ticket.tokens
        self.uniform[place, : request.max_new_tokens] = random_stream(request.seed, request.max_new_tokens)
        self._forget()

    def free(self, place: int) -> None:
        """The request here has ended, or waits again."""
        self.tickets[place], self.live[place] = None, False
        self.temperature[place], self.top_k[place], self.top_p[place] = 1, 0, 1
        self._forget()

    def kept(self, places: Sequence[int], more: Sequence[Ticket]) -> "Slots":
        """The slots `places`, as they are, and after them one for each of some new requests."""
        new = Slots([], self.device)
        old, index = vars(self), list(places)
        for name, value in old.items():
            if isinstance(value, np.ndarray):
                empty = np.zeros((len(more), *value.shape[1:]), dtype=value.dtype)
                setattr(new, name, np.concatenate((value[index], empty)))
        new.tickets = [self.tickets[i] for i in index] + [None] * len(more)
        for place, ticket in enumerate(more, start=len(index)):
            new.put(place, ticket)
        new._forget()
        return new

    def _forget(self) -> None:
        self._knobs, self._weights = None, {}
        held = [(i, ticket) for i, ticket in enumerate(self.tickets) if ticket is not None]
        self.stops = [i for i, ticket in held if ticket.request.stop]
        self.heard = [i for i, ticket in held if ticket.pieces is not None or ticket.request.return_rewards]

    @property
    def knobs(self) -> Knobs:
        if self._knobs is None:
            self._knobs = Knobs.of(self.temperature, self.top_k, self.top_p, self.device)
        return self._knobs

    def weights(self, arm: str, speakers: torch.Tensor) -> torch.Tensor:
        """The weight of an ARM in each of the requests it speaks for; 0 in a dead slot."""
        if arm not in self._weights:
            found = [self.tickets[i] for i in speakers.tolist()]
            values = [0.0 if t is None else t.request.weights.get(arm, 0.0) for t in found]
            self._weights[arm] = torch.tensor(values, dtype=torch.float32, device=self.device)
        return self._weights[arm]

    def stopped(self, active: np.ndarray, ending: Ending) -> dict[int, str]:
        """The text of each active request whose last token completed one of its stop strings."""
        texts = {}
        for place in self.stops:
            ticket = self.tickets[place]
            if active[place] and ticket is not None:
                text = ending.cut(self.drawn(place), ticket.request.stop)
                if text is not None:
                    texts[place] = text
        return texts

    def drawn(self, place: int) -> list[int]:
        """The tokens of a slot's request so far."""
        found: list[int] = self.tokens[place, : self.count[place]].tolist()
        return found

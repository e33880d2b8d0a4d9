"""The one thread that decodes, and owns the sessions; the event loop sends it jobs and gets their events.

Each decoder with open jobs has a session. All sessions advance by one step in turn, so that after a swap the
requests that began with the old versions end beside those that have the new ones. Lineups of one decoder,
such as champion and challenger, share a session.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from genarm.decoding import GuidedRequest, GuidedResponse, Piece
from genarm.serve.errors import ApiError, failed, from_decoder, overloaded
from genarm.serve.lineup import Lineup

if TYPE_CHECKING:
    from genarm.decoding.engine.engine import Engine
    from genarm.decoding.engine.session import EngineSession
    from genarm.decoding.engine.stream import EngineStream
    from genarm.pipeline.served import BestOfN

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """All requests of a job are accepted; the tokens of each prompt."""

    prompts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A token of one of a job's responses."""

    choice: int
    piece: Piece
    spelling: str
    tops: tuple[tuple[str, float], ...] = ()  # the likeliest tokens there, spelled, where they are asked for


@dataclass(frozen=True, slots=True)
class Ended:
    """One of a job's responses is whole."""

    choice: int
    response: GuidedResponse


@dataclass(frozen=True, slots=True)
class Failed:
    """The job ends with an error, and nothing follows."""

    error: ApiError


Event = Started | Drawn | Ended | Failed


@dataclass(eq=False)
class Job:
    """What one HTTP request asks of a lineup; `ask` makes its requests, one for each response.

    `ask` is called in the worker's thread and may raise what the decoder raises for a request. With `spells`
    each token's own spelling is told.
    """

    lineup: Lineup
    ask: "Callable[[Engine], Sequence[GuidedRequest]]"
    spells: bool = False
    events: "asyncio.Queue[Event]" = field(default_factory=asyncio.Queue)


@dataclass(eq=False)
class _Choice:
    """One response: a stream; or those of n requests of which `chooser` takes one at the end."""

    job: Job
    index: int
    asked: Sequence[GuidedRequest]
    streams: "list[EngineStream]"
    pieces: Iterator[Piece]
    chooser: "BestOfN | None" = None

    def cancel(self) -> None:
        for stream in self.streams:
            stream.cancel()


@dataclass(eq=False)
class _Batch:
    """The session of a decoder, and its open responses."""

    decoder: "Engine"
    session: "EngineSession"
    open: list[_Choice] = field(default_factory=list)


class Worker:
    """Decodes in a thread of its own, from `start` to `stop`. Its methods are called from the event loop."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[tuple[str, Job | None]] = SimpleQueue()
        self._batches: dict[Engine, _Batch] = {}
        self._outbox: list[tuple[Job, Event]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; events are delivered to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="genarm-decoder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End at once; jobs that are still open fail."""
        self._inbox.put(("stop", None))
        if self._thread:
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many responses have no slot yet."""
        batches = list(self._batches.values())
        return sum(len(batch.session.admission.waiting) for batch in batches)

    def submit(self, job: Job) -> None:
        """Begin a job; its events say the rest."""
        self._inbox.put(("submit", job))

    def cancel(self, job: Job) -> None:
        """End a job whose client has gone; its slots are free. Nothing happens where it has ended."""
        self._inbox.put(("cancel", job))

    def _run(self) -> None:
        while self._obey():
            for batch in list(self._batches.values()):
                self._advance(batch)
            self._deliver()
        for batch in self._batches.values():
            for job in {choice.job: None for choice in batch.open}:
                self._outbox.append((job, Failed(overloaded("the server is stopping"))))
        self._batches.clear()
        self._deliver()

    def _obey(self) -> bool:
        """Take what was sent, waiting while there is nothing to decode; False at the end."""
        idle = not self._batches
        while True:
            try:
                order, job = self._inbox.get(block=idle)
            except Empty:
                return True
            if job is None:
                return False
            if order == "submit":
                self._begin(job)
            else:
                self._end(job)
            idle = False

    def _begin(self, job: Job) -> None:
        decoder = job.lineup.decoder
        batch = self._batches.get(decoder) or _Batch(decoder, decoder.session())
        choices: list[_Choice] = []
        try:
            requests = job.ask(decoder)
            for index, request in enumerate(requests):
                choices.append(_submitted(batch.session, job, index, request))
        except Exception as error:
            for choice in choices:
                choice.cancel()
            told = from_decoder(error, rendering=True)
            if told.status >= 500:
                log.exception("a request could not be read")
            self._outbox.append((job, Failed(told)))
            return
        batch.open += choices
        self._batches[decoder] = batch
        self._outbox.append((job, Started(tuple(len(request.prompt) for request in requests))))

    def _end(self, job: Job) -> None:
        if (batch := self._batches.get(job.lineup.decoder)) is None:
            return
        for choice in [choice for choice in batch.open if choice.job is job]:
            choice.cancel()
            batch.open.remove(choice)
        self._drop_if_done(batch)

    def _advance(self, batch: _Batch) -> None:
        try:
            batch.session.step()
        except Exception:
            log.exception("decoding failed: %d open responses are lost", len(batch.open))
            for job in {choice.job: None for choice in batch.open}:
                self._outbox.append((job, Failed(failed())))
            del self._batches[batch.decoder]
            return
        for choice in list(batch.open):
            self._read(batch, choice)
        self._drop_if_done(batch)

    def _read(self, batch: _Batch, choice: _Choice) -> None:
        """Pass on what a step drew for a response."""
        job, stream = choice.job, choice.streams[0]
        if choice.chooser:
            if not all(one.done for one in choice.streams) or choice not in batch.open:
                return
            try:
                best = choice.chooser.choose(choice.asked, [one.response() for one in choice.streams])
            except Exception as error:
                self._failed(job, error)
                return
            stream = choice.streams[best]
            choice.pieces = iter(stream)
        while stream.ready:
            piece = next(choice.pieces)
            tokenizer, top = job.lineup.decoder.tokenizer, piece.rewards.top if piece.rewards else ()
            spelling = tokenizer.decode([piece.token]) if job.spells else ""
            tops = tuple((str(tokenizer.decode([token])), value) for token, value in top)
            self._outbox.append((job, Drawn(choice.index, piece, str(spelling), tops)))
        if not stream.done or choice not in batch.open:
            return
        try:
            self._outbox.append((job, Ended(choice.index, stream.response())))
            batch.open.remove(choice)
        except Exception as error:
            self._failed(job, error)

    def _failed(self, job: Job, error: Exception) -> None:
        log.warning("a response failed: %s", error)
        self._outbox.append((job, Failed(from_decoder(error, rendering=False))))
        self._end(job)

    def _drop_if_done(self, batch: _Batch) -> None:
        """A session without responses is given up with its cache; a new one costs nothing."""
        if not batch.open:
            self._batches.pop(batch.decoder, None)

    def _deliver(self) -> None:
        events, self._outbox = self._outbox, []
        if events and self._loop:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(_pass_on, events)


def _submitted(session: "EngineSession", job: Job, index: int, request: GuidedRequest) -> _Choice:
    """A request in a session, or the n that stand for it. Raises what `submit` raises."""
    choosing = job.lineup.choosing
    name, request = choosing.parted(request) if choosing else (None, request)
    chooser = choosing.choosers[name] if choosing and name is not None else None
    asked = chooser.asked(request) if chooser else [request]
    streams = [session.submit(one) for one in asked]  # those of one request differ by seed: all or none
    return _Choice(job, index, asked, streams, iter(streams[0]), chooser)


def _pass_on(events: Sequence[tuple[Job, Event]]) -> None:
    for job, event in events:
        job.events.put_nowait(event)

"""The server without its HTTP: what is served, what is open, and what each request gets."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from genarm.serve.answer import Choice, Form, usage
from genarm.serve.ask import asker, seed_of
from genarm.serve.body import ChatBody, CompletionBody
from genarm.serve.canary import FAILED, Answered, Means, RunningTrial, Taking
from genarm.serve.errors import ApiError, invalid, overloaded
from genarm.serve.keys import Keys
from genarm.serve.lineup import Lineup
from genarm.serve.metrics import Metrics
from genarm.serve.settings import ServeSettings
from genarm.serve.worker import Drawn, Ended, Failed, Job, Started, Worker

if TYPE_CHECKING:
    from genarm.feedback.store import Store

log = logging.getLogger(__name__)


class Asked:
    """One request from its beginning to its end."""

    def __init__(
        self, service: "Service", job: Job, form: Form, choices: int, taking: Taking | None = None
    ) -> None:
        self.service, self.job, self.form, self.taking = service, job, form, taking
        self.choices = [Choice() for _ in range(choices)]
        self.prompts: tuple[int, ...] = ()
        self.began = time.monotonic()
        self.failed = False  # by no fault of the client
        self._drew = False

    async def start(self) -> None:
        """Wait until the requests are accepted. Raises ApiError where they are refused."""
        event = await self.job.events.get()
        if isinstance(event, Failed):
            self.failed = event.error.status in FAILED
            raise event.error
        assert isinstance(event, Started)
        self.prompts = event.prompts

    async def events(self) -> AsyncIterator[Drawn | Ended]:
        """What follows, to the end of every response. Raises ApiError where one of them fails."""
        left, metrics = len(self.choices), self.service.metrics
        while left:
            event = await self.job.events.get()
            if isinstance(event, Failed):
                self.failed = event.error.status in FAILED
                raise event.error
            assert not isinstance(event, Started)
            choice = self.choices[event.choice]
            if isinstance(event, Drawn):
                if not self._drew:
                    self._drew = True
                    metrics.first.observe(time.monotonic() - self.began)
                choice.drawn.append(event)
            else:
                choice.response = event.response
                left -= 1
            yield event

    @property
    def usage(self) -> dict[str, int]:
        """Tokens of all prompts and responses."""
        return usage(self.prompts, self.choices)

    def end(self) -> None:
        """Give up what is open, and count what there is."""
        service, metrics = self.service, self.service.metrics
        if any(choice.response is None for choice in self.choices):
            service.worker.cancel(self.job)
        service.open -= len(self.choices)
        metrics.seconds.observe(time.monotonic() - self.began)
        metrics.tokens.labels("prompt").inc(sum(self.prompts))
        metrics.tokens.labels("completion").inc(self.usage["completion_tokens"])
        guided = any(self.form.guide.weights.values())
        for choice in self.choices:
            reason = choice.response.finish_reason if choice.response else "unfinished"
            metrics.answers.labels("yes" if guided else "no", reason).inc()
            if choice.response and guided:
                metrics.kl.observe(choice.response.kl)
        if self.taking:
            answers = [choice.response for choice in self.choices]
            done = Answered(self.form, answers, time.monotonic() - self.began, self.failed)
            self.taking.running.ended(done, self.taking.side)

    def too_long(self) -> ApiError:
        """What a request is told whose time is over."""
        self.failed = True
        seconds = self.service.settings.answer_seconds
        return ApiError(504, f"the answer took longer than {seconds:g} seconds", code="timeout")


class Service:
    """A lineup in service. All but `swap` is called from the event loop."""

    def __init__(
        self,
        lineup: Lineup,
        settings: ServeSettings | None = None,
        keys: Keys | None = None,
        store: "Store | None" = None,
    ) -> None:
        """Serve a lineup; with a store, people are asked which of two responses they prefer."""
        self.store = store
        self.settings, self.keys = settings or ServeSettings(), keys or Keys([])
        self.worker, self.metrics = Worker(), Metrics()
        self.stopping = False
        self.open = 0  # responses that are decoded or wait
        self.refused: dict[str, dict[str, object]] = {}  # by dimension, the champion that does not fit
        self.metrics.watch(lambda: self.open, lambda: self.worker.waiting)
        self.swap(lineup)

    def swap(self, lineup: Lineup, running: RunningTrial | None = None) -> None:
        """Let requests from now on begin with this lineup; those that are open end with the one they have.

        `running` is the trial of a challenger that the lineup's decoder has, too.
        """
        self.lineup, self.running = lineup, running
        self.metrics.version.clear()
        for dimension, version in lineup.versions.items():
            self.metrics.version.labels(dimension).set(version)

    @property
    def means(self) -> Means:
        """What a trial works with."""
        return Means(self.worker, self.metrics, self.settings)

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self.worker.alive and not self.stopping

    def begin(self, body: ChatBody | CompletionBody, key: str = "", lineup: Lineup | None = None) -> Asked:
        """Send a body's requests to the worker; `key` names the API key, where there is one.

        One that is for a given lineup has no part in a trial. Raises ApiError where it cannot be served.
        """
        running, settings = self.running, self.settings
        taking = running.taking(body, key) if running and lineup is None else None
        lineup = lineup or (taking.lineup if taking else self.lineup)
        guide = lineup.guide(body.model, body.guidance)
        if body.stream and lineup.chooses(guide):
            raise invalid(
                f"{body.model!r} chooses among whole responses, so nothing can be streamed: leave stream out",
                "stream",
            )
        choices = len(body.prompts) * body.n
        if not choices:
            raise invalid("prompt: it is empty", "prompt")
        if choices > settings.max_choices:
            raise invalid(
                f"{choices} responses are asked for at once, and {settings.max_choices} is the most", "n"
            )
        if self.open + choices > settings.max_open:
            raise overloaded(f"{self.open} responses are open, and {settings.max_open} is the most")
        seed = seed_of(body)
        job = Job(lineup, asker(body, guide, seed, settings), spells=body.tells_logprobs)
        asked = Asked(self, job, Form(body, guide, lineup.fingerprint, seed), choices, taking)
        self.open += choices
        if running and self.open + running.drawing > lineup.decoder.slots:
            running.give_way()
        self.worker.submit(job)
        return asked

    async def whole(self, asked: Asked) -> dict[str, object]:
        """The answer to a request that does not stream. Raises ApiError, 504 where it takes too long."""
        try:
            async with asyncio.timeout(self.settings.answer_seconds):
                await asked.start()
                async for _ in asked.events():
                    pass
        except TimeoutError:
            raise asked.too_long() from None
        return asked.form.whole(asked.choices, asked.usage)

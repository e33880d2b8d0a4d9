"""A trial in this server: which side answers, what was seen of the challenger, and pairs for the judge.

Only requests for `guided` at the promoted weights take part. Who asks is the `user` of the body, within its
API key; without one the key; without either the request itself. So a person stays on one side.

Nobody waits for the trial. The other side's answer to a prompt is drawn after the person has theirs, at most
SHADOWS at a time, while no response waits for a slot; it is given up as soon as one would.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genarm.canary import spool
from genarm.canary.assignment import challenger_answers, is_judged
from genarm.config import CanaryConfig
from genarm.decoding import GuidedResponse
from genarm.evaluation.canary import unfit
from genarm.evaluation.text_health import repetition
from genarm.serve.answer import Form
from genarm.serve.ask import asker
from genarm.serve.body import ChatBody, CompletionBody
from genarm.serve.errors import ApiError
from genarm.serve.lineup import GUIDED, Lineup, ServedArm
from genarm.serve.metrics import Metrics
from genarm.serve.settings import ServeSettings
from genarm.serve.worker import Ended, Failed, Job, Worker
from genarm.types import Prompt, Response, Responses, Trial

log = logging.getLogger(__name__)

SHADOWS = 2
FAILED = (500, 504)  # what counts against the side that answered: the decoder failed, or took too long

SideName = Literal["champion", "challenger"]


@dataclass(frozen=True, eq=False)
class Answered:
    """A request that ended: its responses, None for one that did not come, and whether that is our fault."""

    form: Form
    responses: Sequence[GuidedResponse | None]
    seconds: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Means:
    """What of a server a trial works with."""

    worker: Worker
    metrics: Metrics
    settings: ServeSettings


@dataclass(frozen=True, eq=False)
class Taking:
    """A request that takes part, and the side that answers it."""

    running: "RunningTrial"
    side: SideName

    @property
    def lineup(self) -> Lineup:
        """What answers it."""
        return self.running.sides[self.side]


class RunningTrial:
    """A trial while this server holds both sides. All but `own`, `before` and `why` is the event loop's."""

    def __init__(
        self, trial: Trial, rule: CanaryConfig, lineup: Lineup, means: Means, folder: Path, before: Responses
    ) -> None:
        challenger = ServedArm(trial.dimension, trial.challenger)
        self.trial, self.rule, self.means, self.folder = trial, rule, means, folder
        self.sides = {"champion": lineup, "challenger": lineup.with_challenger(challenger)}
        self.before, self.own = before, Responses()  # what others saw of the challenger, and this server
        self.why = ""  # why the challenger answers no more
        self._shadows: set[asyncio.Task[None]] = set()
        self._asked: set[str] = set()  # prompts that both sides answered

    def taking(self, body: ChatBody | CompletionBody, key: str) -> Taking | None:
        """Which side answers a request of a key, whose name may be empty; None where it takes no part."""
        if self.why or body.model != GUIDED or body.guidance is not None:
            return None
        who = f"user {key} {body.user}" if body.user else f"key {key}" if key else body.model_dump_json()
        takes = challenger_answers(self.trial.key, who, self.rule.share)
        return Taking(self, "challenger" if takes else "champion")

    @property
    def drawing(self) -> int:
        """How many responses are drawn for the judge now."""
        return len(self._shadows)

    def give_way(self) -> None:
        """Give up what nobody waits for."""
        for shadow in self._shadows:
            shadow.cancel()

    def ended(self, done: Answered, side: SideName) -> None:
        """Take note of a request that ended, and let the other side answer its prompt, where it is judged."""
        self.means.metrics.trial_seconds.labels(side).observe(done.seconds)
        for answer in done.responses:
            self.count(side, answer, done.seconds, done.failed)
        first, body = done.responses[0], done.form.body
        if first is None or not isinstance(body, ChatBody) or self.why:
            return
        prompt = Prompt(body.prompts[0])
        if prompt.messages[-1].role != "user" or prompt.id in self._asked:
            return
        if not is_judged(self.trial.key, prompt.id, self.rule.judged):
            return
        if self.means.worker.waiting or len(self._shadows) >= SHADOWS:
            self.means.metrics.pairs.labels("busy").inc()
            return
        self._asked.add(prompt.id)
        shadow = asyncio.get_running_loop().create_task(self._pair(body, done.form.seed, side, prompt, first))
        self._shadows.add(shadow)
        shadow.add_done_callback(self._shadows.discard)

    async def _pair(
        self, body: ChatBody, seed: int, side: SideName, prompt: Prompt, answer: GuidedResponse
    ) -> None:
        """Draw the other side's answer with the same seed and settings, and keep both for the judge."""
        other: SideName = "champion" if side == "challenger" else "challenger"
        outcome = "failed"
        try:
            second = await self._answer(body, seed, other)
            both = {side: _response(prompt, answer), other: _response(prompt, second)}
            pair = spool.Pair(prompt, both["challenger"], both["champion"])
            room = await asyncio.to_thread(spool.keep, self.folder, self.trial.key, pair)
            outcome = "kept" if room else "full"
        except asyncio.CancelledError:
            outcome = "gave way"
            self._asked.discard(prompt.id)
        except (ApiError, TimeoutError) as error:
            if isinstance(error, ApiError) and error.status not in FAILED:  # such as that the server stops
                outcome = "gave way"
            else:
                log.warning("the %s did not answer a prompt for the judge: %s", other, error or "too slow")
        except OSError:
            log.exception("a pair for the judge cannot be kept in %s", self.folder)
        finally:
            self.means.metrics.pairs.labels(outcome).inc()

    async def _answer(self, body: ChatBody, seed: int, side: SideName) -> GuidedResponse:
        worker, lineup, began = self.means.worker, self.sides[side], time.monotonic()
        body = body.model_copy(update={"n": 1, "guidance_rewards": False, "logprobs": False})
        ask = asker(body, lineup.guide(GUIDED, None), seed, self.means.settings)
        job, answer, failed = Job(lineup, ask), None, False
        worker.submit(job)
        try:
            async with asyncio.timeout(self.means.settings.answer_seconds):
                while answer is None:
                    event = await job.events.get()
                    if isinstance(event, Failed):
                        failed = event.error.status in FAILED
                        raise event.error
                    if isinstance(event, Ended):
                        answer = event.response
        except TimeoutError:
            failed = True
            raise
        finally:
            if answer is None:
                worker.cancel(job)
            self.count(side, answer, time.monotonic() - began, failed)
        return answer

    def count(self, side: SideName, answer: GuidedResponse | None, seconds: float, failed: bool) -> None:
        """Count a response; one that neither came nor failed, such as for a client that left, does not.

        Where the challenger's are shown to be unfit, it answers no more from now on.
        """
        unhealthy = answer is not None and self._is_unhealthy(answer, seconds)
        end = "failed" if failed and answer is None else "unhealthy" if unhealthy else "ok"
        end = "unfinished" if answer is None and not failed else end
        self.means.metrics.trial_responses.labels(side, end).inc()
        if answer is not None:
            self.means.metrics.trial_kl.labels(side).observe(answer.kl)
        if side == "champion" or end == "unfinished":
            return
        self.own += Responses(1, int(end == "failed"), int(unhealthy))
        if end != "ok" and not self.why and (why := unfit(self.before + self.own, self.rule)):
            log.warning("the challenger answers no more: %s", why)
            self.why = why

    def _is_unhealthy(self, answer: GuidedResponse, seconds: float) -> bool:
        slow = self.rule.max_seconds is not None and seconds > self.rule.max_seconds
        repeats = repetition(answer.text) > self.rule.max_repetition
        return slow or repeats or not answer.kl <= self.rule.max_kl


def _response(prompt: Prompt, answer: GuidedResponse) -> Response:
    """An answer as judges take it."""
    finish: Literal["stop", "length"] = "stop" if answer.finish_reason == "stop" else "length"
    return Response(prompt.id, answer.text, len(answer.tokens), finish, answer.base_logprob, answer.kl)

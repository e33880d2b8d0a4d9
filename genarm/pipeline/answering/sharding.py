"""Requests spread over guided servers: each is answered once, by whichever server is free first."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from genarm.decoding import GuidedRequest, GuidedResponse
from genarm.errors import GenarmError, ModelError, Unreachable
from genarm.pipeline.answering.failures import Passing
from genarm.pipeline.answering.listing import NotServed
from genarm.pipeline.answering.replica import Replica

log = logging.getLogger(__name__)

TRIES = 5  # of a request that servers fail at, where others are answered
TRIAL = "genarm serve --trial serves each version on trial, as genarm run registers it"


async def spread(
    replicas: Sequence[Replica],
    requests: Sequence[GuidedRequest],
    concurrency: int,
    take: Callable[[int, GuidedResponse], None],
) -> None:
    """Answer every request, `concurrency` at a time at each server; `take` gets each answer as it comes.

    A server that fails rests, and others take its requests; it goes on once it answers again, serving what is
    wanted. Raises Unreachable where all are given up, NotServed's ConfigError where none has the ARM, and the
    first error that would not pass.
    """
    waiting: asyncio.Queue[int] = asyncio.Queue()
    for index in range(len(requests)):
        waiting.put_nowait(index)
    left, tries, answered = len(requests), Counter[int](), asyncio.Event()
    if not left:
        return

    async def work(replica: Replica) -> None:
        nonlocal left
        while not replica.given_up:
            await replica.pause()
            index = await waiting.get()
            try:
                response = await replica.answer(requests[index])
            except Passing as failure:
                waiting.put_nowait(index)
                if replica.failure is None:
                    log.warning("%s: %s; the prompts go to other servers, or wait", replica.url, failure)
                replica.failed(failure)
                tries[index] += failure.of_request
                if tries[index] == TRIES:
                    raise _hopeless(replica, failure) from None
                continue
            take(index, response)
            left -= 1
            if not left:
                answered.set()

    everybody = [
        asyncio.create_task(work(replica))
        for replica in replicas
        for _ in range(min(concurrency, len(requests)))
    ]
    end = asyncio.create_task(answered.wait())
    try:
        pending = set(everybody)
        while not end.done():
            if not pending:
                raise given_up(replicas)
            ended, _ = await asyncio.wait({*pending, end}, return_when=asyncio.FIRST_COMPLETED)
            for task in ended & pending:
                task.result()  # raises what ended it
            pending -= ended
    finally:
        for task in (*everybody, end):
            task.cancel()
        await asyncio.gather(*everybody, end, return_exceptions=True)


def given_up(replicas: Sequence[Replica]) -> GenarmError:
    """The error of servers that have all been given up: each with its reason, and the way out."""
    reasons = "; ".join(f"{replica.url}: {replica.failure}" for replica in replicas)
    if all(isinstance(replica.failure, NotServed) for replica in replicas):
        wanted = replicas[0].wanted
        return ModelError(
            f"no server of respond.engine has {wanted}: {reasons}",
            hint=f"start one: genarm serve --pin {wanted.dimension}=VERSION; or {TRIAL}",
        )
    return Unreachable(
        f"no server of respond.engine answers: {reasons}",
        hint=f"start one, then run again: answers that came are kept; {TRIAL}",
    )


def _hopeless(replica: Replica, failure: Passing) -> ModelError:
    return ModelError(
        f"servers failed {TRIES} times at one prompt, {replica.url} last: {failure}",
        hint="its log says more; answers that came are kept, so run again once it is mended",
    )

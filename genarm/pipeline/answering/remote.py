"""Prompts to responses by guided servers: the same requests that the built-in engine would be asked."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from genarm.config.engine import EngineConfig
from genarm.decoding import GuidedResponse
from genarm.evaluation.respond import requests_to, response_of
from genarm.models import load_tokenizer, render
from genarm.pipeline.answering.failures import Passing
from genarm.pipeline.answering.journal import Journal
from genarm.pipeline.answering.listing import Wanted
from genarm.pipeline.answering.replica import Replica
from genarm.pipeline.answering.sharding import given_up, spread
from genarm.pipeline.project import Project
from genarm.system.counted import counted
from genarm.system.progress import counting
from genarm.types import Message, Prompt, Response


class RemotePrompts:
    """What the built-in decoder knows of prompts: how they are rendered, and how long they may be."""

    def __init__(self, project: Project, context: int) -> None:
        self.tokenizer, self.context = load_tokenizer(project.base), context

    def prompt(self, text: str | Sequence[Message]) -> tuple[int, ...]:
        """The token ids of a conversation, up to where the assistant's answer starts."""
        return tuple(render(self.tokenizer, [Message("user", text)] if isinstance(text, str) else text))


def answer_remotely(
    project: Project,
    prompts: Sequence[Prompt],
    wanted: Wanted,
    name: str,
    depends_on: Mapping[str, Any],
) -> list[Response]:
    """One response to each prompt, in their order, by the servers of `respond.engine`.

    `name` says whose answers they are, and under it they are kept as they come: prompts that were answered
    under the same `depends_on` are not asked again. Raises what `spread` raises.
    """
    engine = project.params.respond.engine
    assert engine is not None
    file = project.layout.kept / f"served-{name}.jsonl"
    with Journal(file, depends_on) as journal:
        if any(prompt.id not in journal.responses for prompt in prompts):
            asyncio.run(_ask(project, engine, prompts, wanted, name, journal))
        return [journal.responses[prompt.id] for prompt in prompts]


async def _ask(
    project: Project,
    engine: EngineConfig,
    prompts: Sequence[Prompt],
    wanted: Wanted,
    name: str,
    journal: Journal,
) -> None:
    sampling = project.params.respond.sampling
    async with AsyncExitStack() as opened:
        replicas = [await opened.enter_async_context(Replica(url, engine, wanted)) for url in engine.server]
        reader = RemotePrompts(project, await _context(replicas))
        weights = {wanted.dimension: wanted.weight} if wanted.dimension else {}
        # Of all prompts, the answered ones too: which of them tell where guidance acted depends on all.
        both = zip(prompts, requests_to(prompts, reader, weights, sampling, wanted.guidance), strict=True)
        left = [(prompt, request) for prompt, request in both if prompt.id not in journal.responses]
        title = f"respond, {name}, by {counted(len(replicas), 'server')}"
        with counting(title, len(left) * sampling.max_new_tokens, "tokens") as on_tokens:

            def take(index: int, answer: GuidedResponse) -> None:
                journal.add(response_of(left[index][0], answer, reader.tokenizer))
                on_tokens(len(answer.tokens))

            await spread(replicas, [request for _, request in left], engine.concurrency, take)


async def _context(replicas: Sequence[Replica]) -> int:
    """The shortest context of the servers that have what is wanted; all that answer are examined first.

    Waits until one has it. Raises as `spread` does.
    """
    while True:
        if found := [context for context in await asyncio.gather(*map(_examined, replicas)) if context]:
            return min(found)
        if all(replica.given_up for replica in replicas):
            raise given_up(replicas)


async def _examined(replica: Replica) -> int | None:
    if replica.given_up:
        return None
    await replica.pause()
    try:
        context = (await replica.served()).context
    except Passing as failure:
        replica.failed(failure)
        return None
    replica.recovered()
    return context

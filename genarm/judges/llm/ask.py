"""Many requests at once, each answered once: from the cache, or by the server and then kept."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from genarm.config.judge import LlmJudgeConfig
from genarm.errors import JudgeError
from genarm.judges.llm.access import Access
from genarm.judges.llm.cache import Cache, key_of
from genarm.judges.llm.client import Client, parameters
from genarm.judges.llm.prompt import PROTOCOL
from genarm.judges.llm.settle import Settled
from genarm.judges.llm.verdict import Reply
from genarm.judges.statistics import Usage
from genarm.system.progress import counting

log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Asker:
    """Asks one settled model."""

    def __init__(self, config: LlmJudgeConfig, access: Access, settled: Settled, file: Path | None) -> None:
        self._config, self._access, self._settled, self._file = config, access, settled, file
        self.usage = Usage()
        self._warned = False

    async def ask(self, texts: Iterable[str]) -> dict[str, Reply]:
        """The reply to each text. Every answer is on disk before the next one is taken up.

        Raises JudgeError as `Client.ask` does, and where another model answers than the settled one.
        """
        unique = list(dict.fromkeys(texts))
        with Cache(self._file) as cache:
            found = {text: cache.get(self._key(text, self._settled.fingerprint)) for text in unique}
            kept = {text: reply for text, reply in found.items() if reply is not None}
            missing = [text for text in unique if text not in kept]
            self.usage = replace(self.usage, cached=self.usage.cached + len(kept))
            return kept | await self._fetch(missing, cache)

    async def _fetch(self, texts: list[str], cache: Cache) -> dict[str, Reply]:
        found: dict[str, Reply] = {}
        waiting = iter(texts)

        async def work(client: Client, advance: Callable[[int], None]) -> None:
            for text in waiting:  # shared: each text is taken by one worker
                reply = self._checked(await client.ask(text, self._settled.form))
                cache.put(self._key(text, reply.fingerprint), reply)
                found[text] = reply
                advance(1)

        async with Client(self._config, self._access) as client:
            try:
                title = f"judge by {short_name(self._config.model)}"
                with counting(title, len(texts), "requests") as advance:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(min(self._config.concurrency, len(texts))):
                            group.create_task(work(client, advance))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
            finally:
                self._count(list(found.values()), client.repeated)
        return found

    def _count(self, replies: Sequence[Reply], repeated: int) -> None:
        """Add what new replies cost."""
        before, config = self.usage, self._config
        tokens_in = before.tokens_in + sum(reply.tokens_in for reply in replies)
        tokens_out = before.tokens_out + sum(reply.tokens_out for reply in replies)
        dollars = None
        if config.price_in is not None or config.price_out is not None:
            dollars = (tokens_in * (config.price_in or 0) + tokens_out * (config.price_out or 0)) / 1e6
        self.usage = Usage(
            requests=before.requests + len(replies),
            repeated=before.repeated + repeated,
            cached=before.cached,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            dollars=dollars,
        )

    def _checked(self, reply: Reply) -> Reply:
        """The reply, if it is of the model that was settled on. Raises JudgeError if not."""
        settled = self._settled
        if not reply.model:  # a filter refused the texts, and no model has seen them
            return replace(reply, model=settled.model, fingerprint=settled.fingerprint)
        if not settled.is_of(reply):
            raise JudgeError(
                f"{self._access.url} answered as {settled.model!r} at first, and now as {reply.model!r}",
                hint="name a dated version in `model`, so that all verdicts are of one model; then run again",
            )
        if reply.fingerprint != settled.fingerprint and not self._warned:
            self._warned = True
            log.warning(
                "the server of judge %s changed from %s to %s while it judged; temperature 0 does not make "
                "their verdicts equal",
                settled.model,
                settled.fingerprint,
                reply.fingerprint,
            )
        return reply

    def _key(self, text: str, fingerprint: str | None) -> str:
        config, settled = self._config, self._settled
        asked: dict[str, Any] = {
            "protocol": PROTOCOL,
            "url": self._access.url,
            "model": config.model,
            "message": text,
            "parameters": parameters(config, settled.form),
        }
        return key_of(asked, settled.model, fingerprint)


def short_name(model: str) -> str:
    """A model's name without its owner or folder, for a line that has little room."""
    return model.rstrip("/").rpartition("/")[2][:40]


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine, also where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()

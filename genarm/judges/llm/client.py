"""One request to an OpenAI-compatible API: sent, repeated where that may help, and read into a Reply."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import openai
import stamina
from pydantic import BaseModel

from genarm.config.judge import LlmJudgeConfig
from genarm.judges.llm.access import OPENAI, Access
from genarm.judges.llm.failures import Garbled, explained, pause, refuses_text
from genarm.judges.llm.verdict import Form, Reply

TOP = 5  # likeliest tokens asked for; AlpacaEval 2 asks for as many, and some servers give no more
FIRST_WAIT, LONGEST_BACKOFF, JITTER = 0.5, 30.0, 1.0  # seconds


class _Top(BaseModel):
    token: str
    logprob: float | None = None


class _Token(BaseModel):
    top_logprobs: list[_Top] | None = None


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    """The part of a chat completion that is read."""

    model: str
    system_fingerprint: str | None = None
    choices: list[_Choice]
    usage: _Usage | None = None


def parameters(config: LlmJudgeConfig, form: Form) -> dict[str, Any]:
    """What a request holds beside model and messages, as the API spells it."""
    # OpenAI's newer models refuse max_tokens; most other servers know nothing else.
    limit = "max_completion_tokens" if config.base_url in (None, OPENAI) else "max_tokens"
    if form == "text":
        return {"temperature": 0, limit: config.max_tokens}
    return {"temperature": 0, limit: 1, "logprobs": True, "top_logprobs": TOP}


class Client:
    """Asks one model. Used as `async with`; requests may run side by side."""

    def __init__(self, config: LlmJudgeConfig, access: Access) -> None:
        self._config, self._access = config, access
        self.repeated = 0  # requests that were sent again

    async def __aenter__(self) -> "Client":
        self._api = openai.AsyncOpenAI(
            api_key=self._access.key,
            base_url=self._access.url,
            timeout=self._config.timeout,
            max_retries=0,  # done here, where the reasons are told apart
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._api.close()

    async def ask(self, text: str, form: Form) -> Reply:
        """The reply to one message. An empty one without a model where a filter refused the texts.

        Raises JudgeError where the server refuses, or fails more often than `retries` allows.
        """
        tries = 0
        try:
            async for attempt in stamina.retry_context(
                on=pause,
                attempts=self._config.retries + 1,
                timeout=None,
                wait_initial=FIRST_WAIT,
                wait_max=LONGEST_BACKOFF,
                wait_jitter=JITTER,
            ):
                with attempt:
                    tries += 1
                    self.repeated += tries > 1
                    return await self._once(text, form)
        except (openai.OpenAIError, Garbled, TimeoutError, ValueError) as error:
            if refuses_text(error):
                return Reply("", None, "", None)
            raise explained(error, self._access, self._config.model, tries) from None
        raise AssertionError("a request ends with a reply or an error")

    async def _once(self, text: str, form: Form) -> Reply:
        async with asyncio.timeout(self._config.timeout):  # the client's own is of each piece that arrives
            raw = await self._api.chat.completions.with_raw_response.create(
                model=self._config.model,
                messages=[{"role": "user", "content": text}],
                **parameters(self._config, form),
            )
        found = _Completion.model_validate_json(raw.content)
        if not found.choices:
            raise Garbled("a completion without choices")
        choice, usage = found.choices[0], found.usage or _Usage()
        tokens = choice.logprobs.content if choice.logprobs else None
        tops = tokens[0].top_logprobs if tokens else None
        return Reply(
            model=found.model,
            fingerprint=found.system_fingerprint,
            text=choice.message.content or "",
            tops=None if tops is None else [(top.token, top.logprob) for top in tops],
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
        )


@contextmanager
def without_retry_log() -> Iterator[None]:
    """While entered, stamina tells nobody of a retry: it would repeat what the server said, key and all."""
    before = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks(())
    try:
        yield
    finally:
        stamina.instrumentation.set_on_retry_hooks(before)

"""OpenAI's objects of responses, whole or chunk by chunk, with versions, seed and rewards beside."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from genarm.decoding import GuidedResponse
from genarm.serve.body import ChatBody, CompletionBody
from genarm.serve.lineup import Guide
from genarm.serve.worker import Drawn

BROKEN = "\N{REPLACEMENT CHARACTER}"


@dataclass(eq=False)
class Choice:
    """One response as it comes in."""

    drawn: list[Drawn] = field(default_factory=list)
    text: int = 0  # characters streamed
    response: GuidedResponse | None = None


@dataclass(frozen=True, eq=False)
class Form:
    """How one request is answered."""

    body: ChatBody | CompletionBody
    guide: Guide
    fingerprint: str
    seed: int
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def chat(self) -> bool:
        """Whether this is a chat completion."""
        return isinstance(self.body, ChatBody)

    def _head(self, chunk: bool) -> dict[str, Any]:
        kind = ("chat.completion.chunk" if chunk else "chat.completion") if self.chat else "text_completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.guide.model,
            "system_fingerprint": self.fingerprint,
        }

    @property
    def told(self) -> dict[str, Any]:
        """What genarm tells beside OpenAI's fields."""
        weights = {d: weight for d, weight in self.guide.weights.items() if weight}
        return {"versions": dict(self.guide.versions), "weights": weights, "seed": self.seed}

    def opening(self, choices: int) -> list[dict[str, Any]]:
        """The first chunks of a stream, one for each response."""
        text = {"delta": {"role": "assistant", "content": ""}} if self.chat else {"text": ""}
        return [
            {
                **self._chunk([{"index": i, **text, "logprobs": None, "finish_reason": None}]),
                "genarm": self.told,
            }
            for i in range(choices)
        ]

    def piece(self, choice: Choice, drawn: Drawn) -> dict[str, Any] | None:
        """The chunk of a token; None where it tells nothing, as its character is not whole yet."""
        text, tells = drawn.piece.text, self.body.tells_logprobs or self.body.guidance_rewards
        start, choice.text = choice.text, choice.text + len(text)
        if not (text or tells):
            return None
        said = {"delta": {"content": text} if text else {}} if self.chat else {"text": text}
        part: dict[str, Any] = {"index": drawn.choice, **said, "logprobs": self._logprobs([drawn], start)}
        if self.body.guidance_rewards:
            part["guidance_rewards"] = rewards([drawn], self.guide)
        return self._chunk([{**part, "finish_reason": None}])

    def closing(self, index: int, response: GuidedResponse) -> dict[str, Any]:
        """The last chunk of a response."""
        said: dict[str, Any] = {"delta": {}} if self.chat else {"text": ""}
        part: dict[str, Any] = {
            "index": index,
            **said,
            "logprobs": None,
            "finish_reason": response.finish_reason,
        }
        if self.body.guidance_rewards:
            part |= measures(response)
        return self._chunk([part])

    def usage_chunk(self, usage: dict[str, int]) -> dict[str, Any]:
        """The chunk after all others, where the request asked for it."""
        return {**self._chunk([]), "usage": usage}

    def whole(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """The answer to a request that does not stream."""
        parts = [self._whole(i, choice) for i, choice in enumerate(choices)]
        return {**self._head(chunk=False), "choices": parts, "usage": usage, "genarm": self.told}

    def _whole(self, index: int, choice: Choice) -> dict[str, Any]:
        response = choice.response
        assert response is not None
        text = response.text
        said = (
            {"message": {"role": "assistant", "content": text, "refusal": None}}
            if self.chat
            else {"text": text}
        )
        logprobs = self._logprobs(choice.drawn, 0)
        part: dict[str, Any] = {
            "index": index,
            **said,
            "logprobs": logprobs,
            "finish_reason": response.finish_reason,
        }
        if self.body.guidance_rewards:
            part |= {"guidance_rewards": rewards(choice.drawn, self.guide), **measures(response)}
        return part

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        usage = {"usage": None} if self.body.usage_streams else {}
        return {**self._head(chunk=True), "choices": choices, **usage}

    def _logprobs(self, drawn: Sequence[Drawn], start: int) -> dict[str, Any] | None:
        """Log-probabilities under the guided policy at temperature 1; `start` is where the text begins."""
        if not self.body.tells_logprobs:
            return None
        values = [d.piece.rewards.guided if d.piece.rewards else None for d in drawn]
        if self.chat:
            tokens = [
                {**told(d.spelling, value), "top_logprobs": [told(*top) for top in d.tops]}
                for d, value in zip(drawn, values, strict=True)
            ]
            return {"content": tokens, "refusal": None}
        offsets = []
        for d in drawn:
            offsets.append(start)
            start += len(d.piece.text)
        spellings = [d.spelling for d in drawn]
        tops = [by_spelling(d, value) for d, value in zip(drawn, values, strict=True)]
        return {
            "tokens": spellings,
            "token_logprobs": values,
            "top_logprobs": tops if self.body.tops else None,
            "text_offset": offsets,
        }


def told(spelling: str, logprob: float | None) -> dict[str, Any]:
    """A token as chat completions tell it."""
    return {"token": spelling, "logprob": logprob, "bytes": as_bytes(spelling)}


def by_spelling(drawn: Drawn, logprob: float | None) -> dict[str, float | None]:
    """The likeliest tokens and the drawn one by spelling, as completions tell them.

    Of several that are spelled alike, as parts of characters are, the likeliest counts.
    """
    found: dict[str, float | None] = {}
    for spelling, value in drawn.tops:
        found.setdefault(spelling, value)
    found.setdefault(drawn.spelling, logprob)
    return found


def usage(prompts: Sequence[int], choices: Sequence[Choice]) -> dict[str, int]:
    """Tokens read, each prompt once, and drawn, end tokens included."""
    drawn = sum(len(c.response.tokens) if c.response else len(c.drawn) for c in choices)
    return {"prompt_tokens": sum(prompts), "completion_tokens": drawn, "total_tokens": sum(prompts) + drawn}


def rewards(drawn: Sequence[Drawn], guide: Guide) -> list[dict[str, Any]]:
    """Of each token its id, the text that it completes, and in nats its log-probabilities and rewards."""
    return [
        {
            "id": d.piece.token,
            "text": d.piece.text,
            "base": d.piece.rewards.base,
            "guided": d.piece.rewards.guided,
            "arms": {guide.dimension(arm): value for arm, value in d.piece.rewards.arms.items()},
        }
        for d in drawn
        if d.piece.rewards
    ]


def measures(response: GuidedResponse) -> dict[str, float]:
    """Of a whole response, in nats: its log-probability under the base, and KL(guided || base) a token."""
    return {"base_logprob": response.base_logprob, "kl": response.kl}


def as_bytes(spelling: str) -> list[int] | None:
    """The bytes of a token; None for a part of a character, whose bytes the spelling does not show."""
    return None if BROKEN in spelling else list(spelling.encode())

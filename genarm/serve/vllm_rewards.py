"""`guidance_rewards` in vLLM's server: the plugin tells them among likeliest tokens, answers as other fields.

Runs in vLLM's environment. vLLM calls what it tells of a token `logprobs`; those that the client did not ask
for are taken out again, and so are ids of tokens.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genarm.serve.errors import invalid
from genarm.serve.lineup import Guide

REWARDS = "guidance.rewards"  # what the plugin's processors heed
MEASURES = 3  # that come before the ARMs: base, guided, KL
MOST_TOPS = 20  # likeliest tokens that a client may ask for
Spell = Callable[[int], str]  # a token as the text that it completes


@dataclass
class _Choice:
    """What was told of a response so far."""

    spell: Spell
    tokens: int = 0
    base_logprob: float = 0.0
    kl: float = 0.0


@dataclass(frozen=True)
class ToldRewards:
    """One request that is told rewards, and its answer: whole, or event by event.

    `arms` are the engine's, in the order in which it tells them; `spelling` makes what spells the tokens of a
    new response.
    """

    fields: Mapping[str, Any]
    guide: Guide
    arms: Sequence[str]
    spelling: Callable[[], Spell]
    chat: bool
    choices: dict[int, _Choice] = field(default_factory=dict)

    @property
    def columns(self) -> int:
        """How many numbers the engine tells of a token."""
        return MEASURES + len(self.arms)

    @property
    def body(self) -> bytes:
        """The request as vLLM takes it."""
        fields, xargs = dict(self.fields), {**self.fields["vllm_xargs"], REWARDS: 1}
        tops = fields.get("top_logprobs") or 0
        asked: dict[str, Any] = {"return_token_ids": True, "vllm_xargs": xargs}
        if self.chat:
            asked |= {"logprobs": True, "top_logprobs": 1 + self.columns + tops}
        else:  # by spelling, as completions tell them, those of our ids would be one and the same
            asked |= {"logprobs": self.columns, "return_tokens_as_token_ids": True}
        return json.dumps(fields | asked).encode()

    def answer(self, content: bytes) -> bytes:
        """A whole answer as the client gets it."""
        told = json.loads(content)
        return json.dumps(self._told(told) if "choices" in told else told).encode()

    def event(self, event: bytes) -> bytes:
        """An event of a stream as the client gets it."""
        data = event.removeprefix(b"data: ")
        return b"data: " + self.answer(data) if data.startswith(b"{") else event

    def kl(self) -> list[float]:
        """KL(guided || base) a token, of each response, in nats."""
        return [choice.kl / choice.tokens for choice in self.choices.values() if choice.tokens]

    def _told(self, answer: dict[str, Any]) -> dict[str, Any]:
        if not self.fields.get("return_token_ids"):
            answer.pop("prompt_token_ids", None)
        if not self.choices:  # the first event of a stream, and a whole answer
            weights = {d: weight for d, weight in self.guide.weights.items() if weight}
            answer["genarm"] = {
                "versions": dict(self.guide.versions),
                "weights": weights,
                "seed": self.fields.get("seed"),
            }
        return answer | {"choices": [self._choice(part) for part in answer["choices"]]}

    def _choice(self, part: dict[str, Any]) -> dict[str, Any]:
        index, said = part["index"], part.get("logprobs")
        if index not in self.choices:
            self.choices[index] = _Choice(self.spelling())
        choice, ids = self.choices[index], part.get("token_ids") or []
        if said is not None:
            part["guidance_rewards"] = [
                self._reward(choice, token, numbers)
                for token, numbers in zip(ids, self._numbers(said), strict=True)
            ]
        if not self.fields.get("return_token_ids"):
            for name in ("token_ids", "prompt_token_ids"):
                part.pop(name, None)
        part["logprobs"] = self._logprobs(said)
        if part.get("finish_reason") and choice.tokens:  # vLLM tells nothing of reasoning that it hides
            part |= {"base_logprob": choice.base_logprob, "kl": choice.kl / choice.tokens}
        return part

    def _numbers(self, said: Mapping[str, Any]) -> list[list[float]]:
        """Of each token what the engine tells, after the token drawn."""
        if self.chat:
            tops = [[top["logprob"] for top in token["top_logprobs"]] for token in said["content"]]
        else:
            tops = [list(top.values()) for top in said["top_logprobs"]]
        return [top[1 : 1 + self.columns] for top in tops]

    def _reward(self, choice: _Choice, token: int, numbers: Sequence[float]) -> dict[str, Any]:
        """One token as the built-in engine tells it; under contrast a reward is what the ARM has learned."""
        base, guided, kl, *logprobs = numbers
        choice.tokens += 1
        choice.base_logprob += base
        choice.kl += kl
        rewards = {
            dimension: value - base if self.guide.guidance[dimension] == "contrast" else value
            for dimension, value in zip(self.arms, logprobs, strict=True)
            if dimension in self.guide.guidance
        }
        return {"id": token, "text": choice.spell(token), "base": base, "guided": guided, "arms": rewards}

    def _logprobs(self, said: dict[str, Any] | None) -> dict[str, Any] | None:
        """What is left for a client who asked for log-probabilities of a chat."""
        if said is None or not (self.chat and self.fields.get("logprobs")):
            return None
        tops = self.fields.get("top_logprobs") or 0
        for token in said["content"]:
            drawn, likeliest = token["top_logprobs"][:1], token["top_logprobs"][1 + self.columns :]
            token["top_logprobs"] = (drawn + likeliest)[:tops]
        return said


def check_told(fields: Mapping[str, Any], *, chat: bool) -> None:
    """Raise ApiError where a request asks for what vLLM would tell in the place of its rewards."""
    excluded = ("logprob_token_ids", "echo") if chat else ("logprob_token_ids", "echo", "logprobs")
    for name in excluded:
        if not (fields.get(name) is None or fields[name] is False):
            raise invalid(f"{name} is not told together with guidance_rewards", name)
    tops = fields.get("top_logprobs") or 0
    if isinstance(tops, bool) or not isinstance(tops, int) or not 0 <= tops <= MOST_TOPS:
        raise invalid(f"top_logprobs is no number from 0 to {MOST_TOPS}", "top_logprobs")
    if tops and not fields.get("logprobs"):
        raise invalid("top_logprobs is of requests with logprobs: true", "top_logprobs")


def spelling_of(tokenizer: Any) -> Callable[[], Spell]:
    """What makes, for each response, a function of a token to the text that it completes."""
    from tokenizers.decoders import DecodeStream

    def spelling() -> Spell:
        stream = DecodeStream(skip_special_tokens=True)

        def spell(token: int) -> str:
            nonlocal stream
            try:
                return stream.step(tokenizer._tokenizer, token) or ""
            except Exception:  # what some tokenizers make of bytes that are no text: vLLM begins anew, too
                stream = DecodeStream(skip_special_tokens=True)
                return stream.step(tokenizer._tokenizer, token) or ""

        return spell

    return spelling if hasattr(tokenizer, "_tokenizer") else lambda: lambda token: tokenizer.decode([token])

"""Prompts to responses: each prompt is answered once, in the same way by base, champion and challenger.

A prompt's random stream depends on the configured seed and the prompt alone: all sides draw the same random
numbers and differ only by their weights.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from genarm.config import SamplingConfig
from genarm.decoding import GuidedDecoder, GuidedRequest, GuidedResponse
from genarm.errors import RequestError
from genarm.types import Guidance, Message, Prompt, Response

TRACED = 12  # prompts; a token takes 62 microseconds more, on all a per cent or two (2026-11-26)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class PromptReader(Protocol):
    """The part of a decoder that prompts need: how they are rendered, and how long they may be."""

    @property
    def context(self) -> int:
        """The most tokens that prompt and response may have together."""

    def prompt(self, text: str | Sequence[Message], /) -> tuple[int, ...]:
        """The token ids of a conversation, up to where the assistant's answer starts."""


def respond(
    prompts: Sequence[Prompt],
    decoder: GuidedDecoder,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    weights: Mapping[str, float],
    sampling: SamplingConfig,
    guidance: Guidance = "sum",
    on_tokens: Callable[[int], None] | None = None,
) -> list[Response]:
    """One response to each prompt, in the order of the prompts.

    `weights` are those of this side, by ARM name (none for the base model), and `guidance` says what they
    multiply; `on_tokens` is called with the number of new tokens as they come. Raises RequestError naming a
    prompt that leaves no room for a response.
    """
    requests = requests_to(prompts, decoder, weights, sampling, guidance)
    answers = decoder.generate(requests, on_tokens)
    return [response_of(p, answer, tokenizer) for p, answer in zip(prompts, answers, strict=True)]


def requests_to(
    prompts: Sequence[Prompt],
    decoder: PromptReader,
    weights: Mapping[str, float],
    sampling: SamplingConfig,
    guidance: Guidance = "sum",
) -> list[GuidedRequest]:
    """The request of each prompt; a few of a guided side tell where guidance acts. Raises as `respond`."""
    traced = {p.id for p in sorted(prompts, key=lambda p: p.id)[:TRACED]} if any(weights.values()) else set()
    requests = []
    for prompt in prompts:
        ids = prompt_ids(prompt, decoder, sampling)
        asked = request(ids, weights, sampling, prompt_seed(sampling.seed, prompt), guidance)
        requests.append(replace(asked, return_rewards=prompt.id in traced))
    return requests


def prompt_ids(prompt: Prompt, decoder: PromptReader, sampling: SamplingConfig) -> list[int]:
    """A prompt as token ids. Raises RequestError naming one that leaves no room for a response."""
    ids = decoder.prompt(prompt.messages)  # not rendered here: a method may have to know its messages
    if len(ids) + sampling.max_new_tokens > decoder.context:
        raise RequestError(
            f"prompt {prompt.id} has {len(ids)} tokens, which with {sampling.max_new_tokens} new ones "
            f"exceed the context of {decoder.context}",
            hint="lower max_new_tokens in params.yaml, or leave the prompt out",
        )
    return list(ids)


def response_of(prompt: Prompt, answer: GuidedResponse, tokenizer: "PreTrainedTokenizerBase") -> Response:
    """An answer of the decoder as the response to a prompt."""
    return Response(
        prompt_id=prompt.id,
        text=answer.text,
        tokens=len(answer.tokens),
        finish_reason="length" if answer.finish_reason == "length" else "stop",
        base_logprob=answer.base_logprob,
        kl=answer.kl,
        guidance=guidance_by_token(tokenizer, answer) if answer.rewards else None,
    )


def guidance_by_token(
    tokenizer: "PreTrainedTokenizerBase", answer: GuidedResponse
) -> list[tuple[int, float]]:
    """For each token the characters that it adds to the text, and log p_guided - log p_base of it in nats.

    A character of several tokens is the last one's, and what follows a stop string has no characters.
    """
    found, before = [], 0
    for i, reward in enumerate(answer.rewards, start=1):
        text = str(
            tokenizer.decode(
                list(answer.tokens[:i]), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
        whole = text.rstrip("\N{REPLACEMENT CHARACTER}") if i < len(answer.rewards) else answer.text
        until = max(before, min(len(whole), len(answer.text)))
        found.append((until - before, round(reward.guided - reward.base, 2)))
        before = until
    return found


def request(
    ids: Sequence[int],
    weights: Mapping[str, float],
    sampling: SamplingConfig,
    seed: int,
    guidance: Guidance | Mapping[str, Guidance] = "sum",
) -> GuidedRequest:
    """A prompt's ids as a request under the configured sampling."""
    return GuidedRequest(
        prompt=tuple(ids),
        weights=dict(weights),
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        max_new_tokens=sampling.max_new_tokens,
        stop=sampling.stop,
        seed=seed,
        guidance=guidance,
    )


def prompt_seed(seed: int, prompt: Prompt) -> int:
    """The seed of a prompt's random stream: 64 bits of a hash of the configured seed and the prompt's id."""
    digest = hashlib.sha256(f"{seed}:{prompt.id}".encode()).digest()
    return int.from_bytes(digest[:8], "big")

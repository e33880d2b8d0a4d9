"""A body as requests of the decoder: one for each prompt and each of its `n` responses."""

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from genarm.decoding import GuidedRequest
from genarm.errors import RequestError
from genarm.models.chat_template import completion_ids
from genarm.serve.body import ChatBody, CompletionBody
from genarm.serve.lineup import Guide
from genarm.serve.settings import ServeSettings
from genarm.types import Message

if TYPE_CHECKING:
    from genarm.decoding.engine.engine import Engine

SEEDS = 2**64


def seed_of(body: ChatBody | CompletionBody) -> int:
    """The seed of the first response: the body's, or one by chance that JSON readers keep whole."""
    return secrets.randbits(53) if body.seed is None else body.seed % SEEDS


def asker(
    body: ChatBody | CompletionBody, guide: Guide, seed: int, settings: ServeSettings
) -> "Callable[[Engine], list[GuidedRequest]]":
    """What makes the requests once the worker has the decoder at hand; response i has `seed` + i."""
    prompts = body.prompts

    def ask(decoder: "Engine") -> list[GuidedRequest]:
        requests: list[GuidedRequest] = []
        for prompt in prompts:
            ids = prompt_ids(decoder, prompt)
            room = decoder.context - len(ids)
            if room < 1:
                raise RequestError(
                    f"the prompt has {len(ids)} tokens, and the context is {decoder.context}",
                    hint="shorten the prompt",
                )
            for _ in range(body.n):
                requests.append(
                    GuidedRequest(
                        ids,
                        {guide.arm(d): weight for d, weight in guide.weights.items()},
                        temperature=settings.temperature if body.temperature is None else body.temperature,
                        top_k=settings.top_k if body.top_k is None else body.top_k,
                        top_p=settings.top_p if body.top_p is None else body.top_p,
                        max_new_tokens=body.most or min(settings.max_tokens, room),
                        stop=settings.stop if body.stop is None else body.stops,
                        seed=(seed + len(requests)) % SEEDS,
                        ignore_eos=body.ignore_eos,
                        return_top=body.tops,
                        return_rewards=body.tells_logprobs or body.guidance_rewards,
                        guidance={guide.arm(d): how for d, how in guide.guidance.items()},
                    )
                )
        return requests

    return ask


def prompt_ids(decoder: "Engine", prompt: str | Sequence[int] | Sequence[Message]) -> tuple[int, ...]:
    """Token ids of a conversation, by the chat template; of a text as it stands; of ids, themselves."""
    if isinstance(prompt, str):
        return tuple(completion_ids(decoder.tokenizer, prompt))
    if prompt and isinstance(prompt[0], Message):
        return decoder.prompt([part for part in prompt if isinstance(part, Message)])
    return tuple(part for part in prompt if isinstance(part, int))

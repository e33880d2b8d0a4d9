"""One conversation, answered by the base model alone and by base plus ARMs.

Both answers are two requests of one batch: same prompt, same seed, and no weights for the base. The
conversation goes on from the guided answer.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genarm import models
from genarm.config import SamplingConfig
from genarm.decoding.guidance import Generation, GuidedDecoder, GuidedRequest
from genarm.errors import ConfigError, RequestError
from genarm.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def parse_weights(text: str, known: Collection[str]) -> dict[str, float]:
    """'positive=2,plain=1' -> {'positive': 2.0, 'plain': 1.0}; an ARM not named is muted.

    Raises ConfigError naming the part that cannot be read and the known ARMs.
    """
    weights: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = (side.strip() for side in part.partition("="))
        wrong = None
        try:
            weight = float(value)
            if not (weight >= 0 and math.isfinite(weight)):
                wrong = "a weight is a finite number >= 0"
        except ValueError:
            wrong = "it is not of the form name=number"
        if name not in known:
            wrong = "there is no ARM of that name"
        elif name in weights:
            wrong = "that ARM has a weight already"
        if wrong:
            hint = f"write it like positive=2,plain=1; known ARMs: {', '.join(known) or 'none'}"
            raise ConfigError(f"cannot use {part!r} as a weight: {wrong}", hint=hint)
        weights[name] = weight
    return weights


def told(weights: Mapping[str, float]) -> str:
    """Weights as they are typed, without the muted ones."""
    return ", ".join(f"{name}={weight:g}" for name, weight in weights.items() if weight) or "nothing"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was said, and both answers."""

    prompt: str
    weights: Mapping[str, float]
    base: Generation
    guided: Generation


def reply(
    decoder: GuidedDecoder,
    tokenizer: "PreTrainedTokenizerBase",
    history: list[Message],
    weights: Mapping[str, float],
    sampling: SamplingConfig,
    on_tokens: Callable[[int], None] | None = None,
) -> tuple[Generation, Generation]:
    """The answer of the base alone and the guided one, drawn from one stream of random numbers.

    `on_tokens` hears how many tokens each step gave. Raises RequestError where conversation and answer
    together are longer than what the model reads.
    """
    prompt = tuple(models.render(tokenizer, history))
    if len(prompt) + sampling.max_new_tokens > decoder.context:
        raise RequestError(
            f"the conversation has {len(prompt)} tokens: with up to {sampling.max_new_tokens} of an answer "
            f"that is more than the {decoder.context} which the model reads",
            hint="say it shorter, or forget the conversation with /reset; it is kept until then",
        )
    base, guided = (
        GuidedRequest(
            prompt=prompt,
            weights=side,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            max_new_tokens=sampling.max_new_tokens,
            # Each turn has a seed of its own, so that a question asked twice may be answered in two ways.
            seed=sampling.seed + len(history),
        )
        for side in ({}, dict(weights))
    )
    answers = decoder.generate([base, guided], on_tokens)
    return answers[0], answers[1]


@dataclass(slots=True)
class Chat:
    """A conversation under way. `names` are the ARMs that are loaded, `weights` those that guide now."""

    decoder: GuidedDecoder
    tokenizer: "PreTrainedTokenizerBase"
    sampling: SamplingConfig
    names: tuple[str, ...]
    weights: dict[str, float]
    history: list[Message] = field(default_factory=list)

    def say(self, text: str, on_tokens: Callable[[int], None] | None = None) -> Exchange:
        """Answer, and remember the guided answer. Whatever is raised, the conversation stays as it was."""
        asked = [*self.history, Message("user", text)]
        base, guided = reply(self.decoder, self.tokenizer, asked, self.weights, self.sampling, on_tokens)
        self.history = [*asked, Message("assistant", guided.text)]
        return Exchange(text, dict(self.weights), base, guided)


def plain(exchange: Exchange) -> dict[str, object]:
    """An exchange as JSON values."""
    sides = {"base": exchange.base, "guided": exchange.guided}
    return {
        "prompt": exchange.prompt,
        "weights": dict(exchange.weights),
        **{
            side: {
                "text": answer.text,
                "tokens": len(answer.tokens),
                "finish_reason": answer.finish_reason,
                "base_logprob": answer.base_logprob,
                "kl": answer.kl,
            }
            for side, answer in sides.items()
        },
    }

"""One conversation, answered by the base model alone and by base plus ARMs.

Both answers are streams of one session: same prompt, same seed, and no weights for the base. The conversation
continues from the guided answer.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from genarm.config import SamplingConfig
from genarm.decoding import GuidedDecoder, GuidedResponse, Piece
from genarm.errors import ConfigError, RequestError
from genarm.evaluation.respond import request
from genarm.models import render
from genarm.types import Guidance, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def parse_weights(text: str, known: Collection[str]) -> dict[str, float]:
    """'positive=2,plain=1' -> {'positive': 2.0, 'plain': 1.0}; an ARM not named is muted.

    Raises ConfigError naming the part that cannot be read and the known ARMs.
    """
    weights: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = (side.strip() for side in part.partition("="))
        reason = None
        try:
            weight = float(value)
            if not (weight >= 0 and math.isfinite(weight)):
                reason = "a weight is a finite number >= 0"
        except ValueError:
            reason = "it is not of the form name=number"
        if name not in known:
            reason = "there is no ARM of that name"
        elif name in weights:
            reason = "that ARM has a weight already"
        if reason:
            hint = f"write it like positive=2,plain=1; known ARMs: {', '.join(known) or 'none'}"
            raise ConfigError(f"cannot use {part!r} as a weight: {reason}", hint=hint)
        weights[name] = weight
    return weights


def format_weights(weights: Mapping[str, float], guidance: Mapping[str, Guidance] | None = None) -> str:
    """Weights as a person types them, without the muted ones; who guides by contrast is marked."""
    by = {name: f" ({of})" for name, of in (guidance or {}).items() if of != "sum"}
    shown = (f"{name}={weight:g}{by.get(name, '')}" for name, weight in weights.items() if weight)
    return ", ".join(shown) or "nothing"


OnText = Callable[[str, str], None]  # takes both answers so far: the base's, then the guided one


@dataclass(frozen=True, slots=True)
class Exchange:
    """A prompt and both answers to it; `pieces` are the guided answer token by token, with rewards."""

    prompt: str
    weights: Mapping[str, float]
    base: GuidedResponse
    guided: GuidedResponse
    pieces: tuple[Piece, ...]
    guidance: Mapping[str, Guidance] = field(default_factory=dict)  # of each ARM that has a weight


def reply(
    decoder: GuidedDecoder,
    tokenizer: "PreTrainedTokenizerBase",
    history: list[Message],
    weights: Mapping[str, float],
    sampling: SamplingConfig,
    on_text: OnText | None = None,
    guidance: Mapping[str, Guidance] | None = None,
) -> Exchange:
    """The base's own answer and the guided one, drawn from one stream of random numbers.

    `guidance` says what the weight of each ARM multiplies, `sum` where it does not.
    Raises RequestError where conversation and answer together are longer than the model's context.
    """
    prompt = render(tokenizer, history)
    if len(prompt) + sampling.max_new_tokens > decoder.context:
        raise RequestError(
            f"the conversation has {len(prompt)} tokens: with up to {sampling.max_new_tokens} of an answer "
            f"that is more than the {decoder.context} which the model reads",
            hint="ask more briefly, or forget the conversation with /reset; it is kept until then",
        )
    # Each turn has its own seed, so that a question asked twice may get two answers.
    seed, session = sampling.seed + len(history), decoder.session()
    told = {name: by for name, by in (guidance or {}).items() if name in weights}
    base = session.submit(request(prompt, {}, sampling, seed))
    guided = session.submit(replace(request(prompt, weights, sampling, seed, told), return_rewards=True))
    base_text, guided_text, pieces = "", "", []
    for base_piece, guided_piece in zip_longest(base, guided):
        if base_piece:
            base_text += base_piece.text
        if guided_piece:
            guided_text += guided_piece.text
            pieces.append(guided_piece)
        if on_text:
            on_text(base_text, guided_text)
    return Exchange(
        history[-1].content, dict(weights), base.response(), guided.response(), tuple(pieces), told
    )


@dataclass(slots=True)
class Chat:
    """A conversation. `names` are the ARMs that are loaded, `weights` those that guide now."""

    decoder: GuidedDecoder
    tokenizer: "PreTrainedTokenizerBase"
    sampling: SamplingConfig
    names: tuple[str, ...]
    weights: dict[str, float]
    history: list[Message] = field(default_factory=list)
    guidance: Mapping[str, Guidance] = field(default_factory=dict)  # what each ARM was tuned for

    def say(self, text: str, on_text: OnText | None = None) -> Exchange:
        """Answer, and remember the guided answer. If anything is raised, the conversation stays as it was."""
        history = [*self.history, Message("user", text)]
        exchange = reply(
            self.decoder, self.tokenizer, history, self.weights, self.sampling, on_text, self.guidance
        )
        self.history = [*history, Message("assistant", exchange.guided.text)]
        return exchange


def exchange_values(exchange: Exchange) -> dict[str, object]:
    """An exchange as JSON values."""
    sides = {"base": exchange.base, "guided": exchange.guided}
    return {
        "prompt": exchange.prompt,
        "weights": dict(exchange.weights),
        "guidance": dict(exchange.guidance),
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
        "rewards": [
            {"text": piece.text, "base": r.base, "guided": r.guided, "arms": dict(r.arms)}
            for piece in exchange.pieces
            if (r := piece.rewards)
        ],
    }

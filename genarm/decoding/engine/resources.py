"""What the sessions of an engine share: models, end of text, and how tokens are drawn."""

from collections.abc import Mapping, Sequence

import torch
from transformers import PreTrainedTokenizerBase

from genarm.decoding.engine.policy import Policy
from genarm.decoding.engine.recorded_policy import RecordedPolicy
from genarm.decoding.engine.speculative import SpeculativePolicy
from genarm.decoding.engine.stop import StopCriteria
from genarm.decoding.preference import check_conditioned
from genarm.decoding.request import GuidedRequest, check_servable
from genarm.decoding.runner.ensemble import Part, Start
from genarm.errors import RequestError
from genarm.models import render
from genarm.models.rotary import limit_reason
from genarm.types import Message

CONVERSATION = 'give text, or messages: [Message("system", "Be brief."), Message("user", "hello")]'


class EngineResources:
    """Base and ARMs, and how many requests they serve at a time."""

    def __init__(
        self,
        parts: Sequence[Part],
        tokenizer: PreTrainedTokenizerBase,
        *,
        slots: int = 32,
        speculate: bool = False,
    ) -> None:
        base = next(part for part in parts if part.base)
        self.parts, self.slots = list(parts), slots
        self.arms = [arm for part in parts for arm in part.arms]
        self.starts = {r.arm for part in parts for r in part.readers if isinstance(r, Start)}
        # The preference dimensions of each ARM that is conditioned on them.
        self.conditions = {
            arm: part.trunk.conditions[adapter]
            for part in parts
            for arm, adapter in part.arms.items()
            if adapter is not None and adapter in part.trunk.conditions
        }
        self.tokenizer = tokenizer
        self.stop_criteria = StopCriteria(tokenizer, base.trunk.model)
        self.device: torch.device = base.trunk.device
        self.vocab = base.trunk.vocab
        self.policy: Policy = SpeculativePolicy(parts) if speculate else RecordedPolicy()

    @property
    def context(self) -> int:
        """The most tokens that prompt and response may have together."""
        return min(part.trunk.context for part in self.parts)

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens that were read since the models were loaded, by `base` and by `arm`: all ARMs and starts.

        Counted once for each row that read them. Prompts count, once where requests share them, and so do
        drafts that were refused; the last token of a response is not read.
        """
        base = sum(part.trunk.reads[None] for part in self.parts if part.base)
        read = sum(sum(trunk.reads.values()) for trunk in dict.fromkeys(part.trunk for part in self.parts))
        return {"base": base, "arm": read - base}

    def prompt(self, text: str | Sequence[Message]) -> tuple[int, ...]:
        """Token ids of a message of the user, or of a conversation, as `GuidedDecoder.prompt` says."""
        messages = [Message("user", text)] if isinstance(text, str) else text
        if not (isinstance(messages, Sequence) and messages):
            raise RequestError(f"there is no text in {type(text).__name__} {text!r:.60}", hint=CONVERSATION)
        if strange := next((m for m in messages if not isinstance(m, Message)), None):
            raise RequestError(f"{type(strange).__name__} {strange!r:.60} is no Message", hint=CONVERSATION)
        return tuple(render(self.tokenizer, messages))

    def check(self, request: GuidedRequest, name: str) -> None:
        """Raise RequestError, naming the request, for what could not be served."""
        narrowest = min(self.parts, key=lambda part: part.trunk.context).trunk
        limited = limit_reason(narrowest.model)
        check_servable(request, self.arms, narrowest.context, self.vocab, name, limited, self.starts)
        check_conditioned(request.weights, request.preference, self.conditions, name)
        self.stop_criteria.check(request.stop, name)

"""A `GuidedDecoder` over models in memory."""

from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedTokenizerBase

from genarm.decoding.engine.policy import PlainPolicy
from genarm.decoding.engine.session import EngineSession
from genarm.decoding.engine.speculative import SpeculativePolicy
from genarm.decoding.engine.stop import StopCriteria
from genarm.decoding.request import GuidedRequest, GuidedResponse, check_servable
from genarm.decoding.runner.ensemble import Part


class Engine:
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
        self.stop_criteria = StopCriteria(tokenizer, base.trunk.model)
        self.device: torch.device = base.trunk.device
        self.vocab = base.trunk.vocab
        self.policy = SpeculativePolicy(parts) if speculate else PlainPolicy()

    @property
    def context(self) -> int:
        """The most tokens that prompt and response may have together."""
        return min(part.trunk.context for part in self.parts)

    def session(self) -> EngineSession:
        """A new session, empty."""
        return EngineSession(self)

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[GuidedResponse]:
        """Responses in the order of the requests, as `GuidedDecoder.generate` says."""
        for number, request in enumerate(requests):
            check_servable(request, self.arms, self.context, self.vocab, f"request {number}")
        states = EngineSession(self, on_tokens).generate(requests)
        for state in states:
            if state.error:
                raise state.error
        return [state.response for state in states if state.response is not None]

"""The decoder's engine with a policy that asks reward models: its batch, its sessions and its streams.

Every request is guided by the method's reward with the method's weight; one that names `reward` in its
`weights` has a weight of its own, and 0 leaves it the base's k best tokens.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from transformers import PreTrainedTokenizerBase

from genarm.baselines.candidate_policy import REWARD, CandidatePolicy
from genarm.decoding.engine.admission import Admission, PrefilledPrompts
from genarm.decoding.engine.engine import Engine
from genarm.decoding.engine.request_state import RequestState
from genarm.decoding.engine.session import EngineSession
from genarm.decoding.request import GuidedRequest
from genarm.decoding.runner.ensemble import Part
from genarm.errors import RequestError


class ScoredEngine(Engine):
    """A `Method` whose tokens a `CandidatePolicy` draws; `roles` says for what each part's tokens count."""

    def __init__(
        self,
        parts: Sequence[Part],
        tokenizer: PreTrainedTokenizerBase,
        policy: CandidatePolicy,
        *,
        roles: Sequence[str],
        weight: float,
        slots: int,
    ) -> None:
        super().__init__(parts, tokenizer, slots=slots)
        self.policy: CandidatePolicy = policy
        self.roles, self.weight = list(roles), weight
        self.helpers = [name for name in self.arms if name != REWARD]
        self.arms = [REWARD]

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens that went through each model, by its part in the method."""
        return {role: self.policy.passes[role] for role in self.roles}

    @property
    def context(self) -> int:
        """The most tokens of prompt and response; what is read beyond the response has room."""
        return super().context - self.policy.beyond

    def session(self) -> "ScoredSession":
        """A new session, empty."""
        return ScoredSession(self)

    def check(self, request: GuidedRequest, name: str) -> None:
        """Raise RequestError, naming the request, for what could not be served."""
        super().check(request, name)
        tokens = len(request.prompt) + request.max_new_tokens
        if tokens > self.context:
            raise RequestError(
                f"{name}: {tokens} tokens of prompt and response, and {self.policy.beyond} that are read "
                f"beyond them, exceed the context of {super().context}",
                hint="shorten the prompt or lower max_new_tokens",
            )

    def prepared(self, request: GuidedRequest) -> GuidedRequest:
        """The request with the weight of the reward, and with the models that the reward needs."""
        weight = request.weights.get(REWARD, self.weight)
        needed = dict.fromkeys(self.helpers, 1.0) if weight else {}
        return replace(request, weights={REWARD: weight, **needed}, guidance="sum")


class ScoredSession(EngineSession):
    """A session that counts what prompts cost, and says of a failed request which score was no number."""

    def __init__(self, engine: ScoredEngine, on_tokens: Callable[[int], None] | None = None) -> None:
        super().__init__(engine, on_tokens)
        self.scored = engine
        reach, counts = engine.policy.reach, (engine.policy.passes, engine.roles)
        self.admission = CountedAdmission(engine.parts, engine.device, engine.slots, reach, *counts)

    def _queue(self, request: GuidedRequest, *, streaming: bool) -> RequestState:
        state = super()._queue(request, streaming=streaming)
        state.request = self.scored.prepared(request)
        return state

    def step(self) -> None:
        """Admit waiting requests, and draw for every live one."""
        super().step()
        faults, self.scored.policy.faults = self.scored.policy.faults, []
        for state, error in reversed(faults):  # the first is the cause
            if state.error:
                state.error = error


class CountedAdmission(Admission):
    """Counts the tokens of prompts that each part reads ahead."""

    def __init__(
        self, parts: Sequence[Part], device: torch.device, size: int, reach: int, passes: Counter[str],
        roles: Sequence[str],
    ) -> None:  # fmt: skip
        super().__init__(parts, device, size, reach)
        self._count = passes, roles

    def _prefill(self, most: int) -> PrefilledPrompts:
        prefilled = super()._prefill(most)
        passes, roles = self._count
        for of_part in prefilled.ensemble.batches:
            index = next(i for i, part in enumerate(self.parts) if part is of_part.part)
            passes[roles[index]] += int(of_part.batch.lengths.sum())
        return prefilled

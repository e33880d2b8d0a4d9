"""CARDS: the base draws a segment until it is unsure how to go on, and a reward model accepts or refuses it.

It follows the paper (arXiv 2406.16306). Its public code draws one more segment after 20 refusals, goes on
after an end token and runs without a cache. Rows are independent: the same request with the same seed has the
same response in any batch.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from genarm.baselines.cards_run import CardsRun
from genarm.baselines.counting import Meter
from genarm.baselines.reward_model import RewardModel
from genarm.baselines.reward_rows import RewardRows
from genarm.baselines.segments import CardsSettings, Growth
from genarm.baselines.whole_session import WholeSession
from genarm.decoding import GuidedRequest, GuidedResponse
from genarm.decoding.engine.engine import Engine
from genarm.decoding.request import check_request, check_requests
from genarm.errors import RequestError
from genarm.types import Message


class Cards:
    """Segment-level rejection sampling from the base of `engine` by `reward`.

    A response's `kl` is an estimate that is unbiased over many responses (`segments.divergence`).
    """

    def __init__(self, engine: Engine, reward: RewardModel, settings: CardsSettings) -> None:
        self.engine, self.reward, self.settings = engine, reward, settings
        self._read = 0  # tokens that the reward model read
        self._meter = Meter(lambda: engine.passes)

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens that were read, by `base` and `reward`."""
        read = {"reward": self._read} if self._read else {}
        return {**self._meter.read, **read}

    @property
    def context(self) -> int:
        """The most tokens that prompt and response may have together."""
        return min(self.engine.context, self.reward.trunk.context - len(self.reward.ending))

    def prompt(self, text: str | Sequence[Message]) -> tuple[int, ...]:
        """Token ids of a message or a conversation, as of every decoder."""
        return self.engine.prompt(text)

    def session(self) -> WholeSession:
        """A new session; a stream gives all its pieces at the end, since a segment may still be refused."""
        return WholeSession(self.generate, lambda request: self._check(request, "the request"))

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[GuidedResponse]:
        """Responses in the order of the requests; `on_tokens` hears of tokens as they are accepted."""
        check_requests(requests)
        for number, request in enumerate(requests):
            self._check(request, f"request {number}")
        grown = [Growth(request, f"request {i}") for i, request in enumerate(requests)]
        rewards = RewardRows(self.reward)
        try:
            with self._meter.running(), torch.inference_mode():
                CardsRun(self.engine, rewards, self.settings, grown, on_tokens).to_the_end()
        finally:
            self._read += rewards.read
        for growth in grown:
            if growth.error:
                raise growth.error
        return [growth.response for growth in grown if growth.response is not None]

    def _check(self, request: GuidedRequest, name: str) -> None:
        check_request(request, name)
        self.engine.check(request, name)
        for wrong, what, way_out in (
            (bool(request.weights), "has weights, and cards guides by a reward model", "leave them out"),
            (
                request.temperature == 0,
                "has temperature 0, at which a refused segment would be drawn again",
                "sample: temperature 1 draws from the base as it is",
            ),
            (
                request.return_rewards,
                "asks for rewards token by token, and cards accepts whole segments",
                "leave return_rewards out",
            ),
            (
                len(request.prompt) < 2,
                "has a prompt of one token, and cards needs the reward of the prompt by itself",
                "render the prompt with the base's chat template",
            ),
            (
                len(request.prompt) + request.max_new_tokens > self.context,
                f"has {len(request.prompt)} prompt tokens and {request.max_new_tokens} new ones, and the "
                f"reward model reads {self.context}",
                "shorten the prompt, or lower max_new_tokens",
            ),
        ):
            if wrong:
                raise RequestError(f"{name} {what}", hint=way_out)

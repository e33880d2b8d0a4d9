"""The steps of CARDS for many requests at once, each at its own pace.

draw      every row draws from the base until its segment ends: the entropy, an end, or its longest length
score     once half of the rows have a segment, those are scored by a reward model with its own cache
decide    accepted segments are kept; a refused one is unread and drawn anew, until the best of them is taken
"""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from genarm.baselines.base_rows import BaseRows
from genarm.baselines.reward_rows import RewardRows
from genarm.baselines.segments import (
    ACCEPT,
    DRAW,
    CardsSettings,
    Growth,
    Segment,
    divergence,
    divergence_of_best,
)
from genarm.decoding import GuidedResponse
from genarm.decoding.engine.engine import Engine
from genarm.decoding.sampling import BatchSampling, distribution, draw
from genarm.errors import ModelError


class CardsRun:
    """Requests on their way from prompt to response, as many at a time as the engine has slots."""

    def __init__(
        self,
        engine: Engine,
        rewards: RewardRows,
        settings: CardsSettings,
        requests: Sequence[Growth],
        on_tokens: Callable[[int], None] | None = None,
    ) -> None:
        self.settings, self.rewards, self.on_tokens = settings, rewards, on_tokens
        self.stop, self.size, self.base = engine.stop_criteria, engine.slots, BaseRows(engine)
        order = sorted(requests, key=lambda g: (-g.request.max_new_tokens, len(g.request.prompt)))
        self.queue, self.live = deque(order), list[Growth]()

    def to_the_end(self) -> None:
        """Answer all requests, or give them their errors."""
        while self.queue or self.live:
            self._admit()
            if drawing := [growth for growth in self.live if not growth.waits]:
                self._draw(drawing)
            going = [growth for growth in self.live if not growth.is_done]
            waiting = [growth for growth in going if growth.waits]
            if waiting and 2 * len(waiting) >= len(going):
                self._decide(waiting)
            self._dismiss()

    def _admit(self) -> None:
        """Let waiting requests in where there is room: their prompts are read, and rewarded."""
        count = min(self.size - len(self.live), len(self.queue))
        if not count or (self.live and 4 * count < min(self.size, len(self.queue))):
            return  # a few at a time would move the caches for each
        arrivals = [self.queue.popleft() for _ in range(count)]
        self.base.join({growth.name: growth.request.prompt for growth in arrivals})
        self.rewards.join({growth.name: growth.request.prompt[:-1] for growth in arrivals})
        last = {growth.name: [list(growth.request.prompt[-1:])] for growth in arrivals}
        of_prompt = self.rewards.scores(last, strict=False)
        self.rewards.keep({growth.name: (0, 1) for growth in arrivals})
        for growth in arrivals:
            growth.of_prompt = self._number(growth, of_prompt[growth.name][0])
            growth.unread = list(growth.request.prompt[-1:])
        self.live += [growth for growth in arrivals if not growth.is_done]

    def _number(self, growth: Growth, reward: float) -> float:
        """A reward; the request has failed where it is no number."""
        if not np.isfinite(reward):
            growth.error = self.rewards.reward.fault(growth.name)
        return reward

    def _draw(self, drawing: Sequence[Growth]) -> None:
        """One token for each of these rows, or the end of its segment."""
        read = self.base.feed({growth.name: growth.unread for growth in drawing if growth.unread})
        for growth in drawing:
            if growth.name in read:
                growth.logits, growth.unread = read[growth.name], []
            if not growth.segment.tokens:
                growth.at_start = growth.logits
        logits = torch.stack([growth.logits for growth in drawing if growth.logits is not None])  # [m, v]
        logprobs = logits.log_softmax(-1)
        unsure = (_entropy(logprobs) >= self.settings.entropy).tolist()
        numbers = [growth.uniform(DRAW, growth.drawn) for growth in drawing]
        uniform = torch.tensor(numbers, dtype=torch.float64, device=logits.device)
        tokens = draw(distribution(logits, _sampling(drawing, logits.device)), uniform)
        of_token = logprobs.gather(-1, tokens[:, None])[:, 0].tolist()
        for i, (growth, token) in enumerate(zip(drawing, tokens.tolist(), strict=True)):
            if not np.isfinite(of_token[i]):
                growth.error = self._fault(growth)
            elif unsure[i] and len(growth.segment.tokens) >= self.settings.shortest:
                growth.waits = True  # what follows is drawn once it is accepted
            else:
                self._take(growth, token, of_token[i])

    def _take(self, growth: Growth, token: int, logprob: float) -> None:
        """Add a token to the segment, which may be its last."""
        segment, request = growth.segment, growth.request
        segment.tokens.append(token)
        segment.logprobs.append(logprob)
        growth.unread = [token]
        segment.ends = token in self.stop.end_tokens and not request.ignore_eos
        if request.stop:
            segment.text = self.stop.text_before_stop([*growth.tokens, *segment.tokens], request.stop)
        growth.waits = len(segment.tokens) == self.settings.longest or _is_last(growth, segment)

    def _decide(self, waiting: Sequence[Growth]) -> None:
        """Accept or refuse the segments of these rows."""
        scores = self.rewards.scores({g.name: [self._rewarded(g.segment)] for g in waiting}, strict=False)
        kept: dict[str, tuple[int, int]] = {}
        back: list[tuple[Growth, Segment | None]] = []  # with the earlier segment that is taken
        for growth in waiting:
            segment = growth.segment
            segment.reward = self._number(growth, scores[growth.name][0])
            if growth.is_done:
                continue
            tau = self.settings.threshold(growth.drawn, growth.request.max_new_tokens, growth.of_prompt)
            chance = self.settings.log_acceptance(segment.reward, tau)
            chosen: Segment | None = segment
            if growth.uniform(ACCEPT, growth.drawn - 1) < np.exp(chance):
                growth.divergence += divergence(chance, len(growth.refused))
            else:
                growth.refused.append(segment)
                growth.refusals += 1
                chosen = None
                if len(growth.refused) == self.settings.tries:
                    chosen = max(growth.refused, key=lambda refused: refused.reward)
                    growth.divergence += divergence_of_best(self.settings.tries)
            if chosen is segment:
                kept[growth.name] = (0, len(segment.tokens))
                self._accept(growth, segment)
            else:
                back.append((growth, chosen))
        self.rewards.keep({name: kept[name] for name in kept if name not in self._done()})
        self._go_back(back)

    def _go_back(self, back: Sequence[tuple[Growth, Segment | None]]) -> None:
        """Unread the last segment of these rows; the one that is taken instead is read again."""
        self.base.rewind({g.name: len(g.request.prompt) + len(g.tokens) for g, _ in back})
        for growth, chosen in back:
            growth.segment, growth.unread, growth.logits = Segment(), [], growth.at_start
            growth.waits = False
            if chosen is not None:
                self._accept(growth, chosen)
                growth.unread = list(chosen.tokens)
        again = {g.name: c.tokens for g, c in back if c is not None and not g.is_done}
        if again:
            self.rewards.scores({name: [tokens] for name, tokens in again.items()}, strict=False)
            self.rewards.keep({name: (0, len(tokens)) for name, tokens in again.items()})

    def _rewarded(self, segment: Segment) -> list[int]:
        """The tokens that the reward model reads; an end token is among those that close the turn for it."""
        closes = segment.ends and bool(self.rewards.reward.ending)
        return segment.tokens[:-1] if closes else segment.tokens

    def _accept(self, growth: Growth, segment: Segment) -> None:
        """Let the response go on with this segment, or end with it."""
        last = _is_last(growth, segment)
        growth.tokens += segment.tokens
        growth.logprobs += segment.logprobs
        growth.segment, growth.refused, growth.waits = Segment(), [], False
        if self.on_tokens:
            self.on_tokens(len(segment.tokens))
        if last:
            text = segment.text
            if text is None:
                text = self.stop.text(growth.tokens[:-1] if segment.ends else growth.tokens)
            stopped = segment.ends or segment.text is not None
            growth.response = GuidedResponse(
                tuple(growth.tokens),
                text,
                "stop" if stopped else "length",
                sum(growth.logprobs),
                growth.divergence / len(growth.tokens),
            )

    def _fault(self, growth: Growth) -> ModelError:
        trunk = self.base.parts[0].trunk
        why, way_out = trunk.fault
        return ModelError(
            f"{growth.name}: the base's scores are not finite after {growth.drawn} tokens in "
            f"{str(trunk.dtype).removeprefix('torch.')}: {why}",
            hint=way_out,
        )

    def _done(self) -> set[str]:
        return {growth.name for growth in self.live if growth.is_done}

    def _dismiss(self) -> None:
        """Drop the rows that are done, once they are many: the caches are moved for it."""
        self.live = [growth for growth in self.live if not growth.is_done]
        going = {growth.name for growth in self.live}
        gone = [name for name in self.base.names if name not in going]
        if gone and 4 * len(gone) >= len(self.base.names):
            self.base.leave(gone)
            self.rewards.leave(gone)


def _is_last(growth: Growth, segment: Segment) -> bool:
    """Whether the response ends with this segment."""
    drawn = len(growth.tokens) + len(segment.tokens)
    return segment.ends or segment.text is not None or drawn == growth.request.max_new_tokens


def _entropy(logprobs: Tensor) -> Tensor:
    """Of each row, in nats: [m, v] -> [m]."""
    return -(logprobs.exp() * logprobs.clamp(min=-1e30)).sum(-1)


def _sampling(drawing: Sequence[Growth], device: torch.device) -> BatchSampling:
    requests = [growth.request for growth in drawing]
    return BatchSampling.of(
        np.array([r.temperature for r in requests], dtype=np.float32),
        np.array([r.top_k for r in requests], dtype=np.int64),
        np.array([r.top_p for r in requests], dtype=np.float32),
        device,
    )

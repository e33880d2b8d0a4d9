"""Speculative decoding of the guided policy: a draft proposes tokens, one pass of the base verifies them.

q is the distribution a drafted token d was drawn from, p the guided policy there, each after temperature,
top-k and top-p:

    accepted    d stays with probability min(1, p(d) / q(d))
    recovered   at the first that does not, a token is drawn from max(p - q, 0), normalised
    bonus       where all stay, one more token is drawn from p

The tokens are distributed as plain sampling distributes them (Leviathan et al., arXiv 2211.17192), and
P(accepted) = 1 - TV(p, q). The draft is the ARM's own model: bare, standing in for the base, and guided by
the same ARMs. What the ARMs say of the drafted tokens is known by then, so verifying costs them nothing.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.engine.policy import GUIDED, Drawn, drawn_from, opinions, uniform
from genarm.decoding.engine.slots import Slots
from genarm.decoding.guidance import Opinion, Scores
from genarm.decoding.runner.ensemble import Ensemble, Part, Reading
from genarm.decoding.sampling import distribution, draw

DRAFT, ACCEPT = 0, 1  # which of a position's uniform numbers draws the drafted token, and which tests it
MEMORY = 0.9  # how much a slot's older acceptances count, a round


class SpeculativePolicy:
    """Up to `most` drafted tokens and one of the guided policy's own, a slot and step."""

    def __init__(self, parts: Sequence[Part], most: int = 8) -> None:
        self.base = next(part for part in parts if part.base)
        self.drafting = [part for part in parts if not part.base]
        self.proxy = next(part for part in parts if part.proxy)
        self.most, self.reach = most, most + 1
        self.cost = sum(p.trunk.parameters for p in self.drafting) / self.base.trunk.parameters
        self.tested = self.accepted = 0

    @property
    def acceptance(self) -> float:
        """Accepted of all drafted tokens that were tested; those after a refused one were not."""
        return self.accepted / max(self.tested, 1)

    def step(self, ensemble: Ensemble, slots: Slots) -> Drawn:
        depth = self._depth(ensemble, slots)
        ids = [torch.from_numpy(slots.next).to(slots.device)]
        said: list[list[Opinion]] = []
        chances: list[Tensor] = []  # q of each position
        for j in range(int(depth.max(initial=0))):
            reading = ensemble.feed(ids[-1][:, None], self.drafting)
            said.append(opinions(reading, slots, -1))
            assert reading.proxy is not None
            proxy = Scores.of(reading.proxy[:, -1].to(slots.device), said[-1])
            chances.append(_normalised(distribution(proxy.total, slots.knobs, proxy.full)))
            ids.append(draw(chances[-1], uniform(slots, j, DRAFT)))
        verdict = ensemble.feed(torch.stack(ids, -1), [self.base], head=slice(None))
        said = [[*opinions(verdict, slots, j), *drafting] for j, drafting in enumerate(said)]
        scores = [self._scores(verdict, j, heard) for j, heard in enumerate(said)]
        policy = [_normalised(distribution(s.total, slots.knobs, s.full)) for s in scores]
        kept = self._test(depth, ids, chances, policy, slots)
        fed = len(said)
        if bool((kept[slots.live] == fed).any()):
            # The last drafted token stayed somewhere: what the ARMs say after it is needed there.
            drafting = opinions(ensemble.feed(ids[-1][:, None], self.drafting), slots, -1)
            said.append([*opinions(verdict, slots, fed), *drafting])
            scores.append(self._scores(verdict, fed, said[-1]))
            last = scores[-1]
            policy.append(_normalised(distribution(last.total, slots.knobs, last.full)))
        tokens = self._tokens(depth, kept, ids, chances, policy, slots)
        drawn = drawn_from(tokens, kept + 1, scores, said, slots)
        whose = np.where(slots.live, kept, kept[slots.live].max(initial=0)) + 1
        ensemble.retract(self.base, len(ids), whose)
        for part in self.drafting:
            ensemble.retract(part, len(said), np.minimum(whose, len(said)))
        self._learn(depth, kept, slots)
        return drawn

    def _depth(self, ensemble: Ensemble, slots: Slots) -> np.ndarray:
        """How many tokens to draft for each slot: what its acceptance makes most of, by counted weights."""
        k = np.arange(1, self.most + 1)
        a = np.minimum(slots.accepted / slots.tested, 0.99)[:, None]
        worth = (1 - a ** (k + 1)) / (1 - a) / (1 + self.cost * k)
        drafted = np.zeros(len(slots), dtype=bool)
        for seat in ensemble.seats:
            if seat.part is self.proxy:
                drafted[seat.sequences] = True
        depth = np.where(drafted, k[worth.argmax(-1)], 0)
        return np.where(slots.live, np.minimum(depth, slots.limit - slots.count - 1), 0).clip(min=0)

    def _scores(self, verdict: Reading, column: int, said: Sequence[Opinion]) -> Scores:
        assert verdict.base is not None
        return Scores.of(verdict.base[:, column], said)

    def _test(
        self,
        depth: np.ndarray,
        ids: Sequence[Tensor],
        chances: Sequence[Tensor],
        policy: Sequence[Tensor],
        slots: Slots,
    ) -> np.ndarray:
        """How many drafted tokens of each slot stay, [n]."""
        if not chances:
            return np.zeros(len(slots), dtype=np.int64)
        stays = []
        for j, (q, p) in enumerate(zip(chances, policy, strict=True)):
            token = ids[j + 1][:, None]
            ratio = p.gather(-1, token)[:, 0].double() / q.gather(-1, token)[:, 0].double()
            stays.append(uniform(slots, j, ACCEPT) < ratio)
        run = torch.stack(stays).long().cumprod(0).sum(0).cpu().numpy()
        return np.minimum(run, depth)

    def _tokens(
        self,
        depth: np.ndarray,
        kept: np.ndarray,
        ids: Sequence[Tensor],
        chances: Sequence[Tensor],
        policy: Sequence[Tensor],
        slots: Slots,
    ) -> Tensor:
        """Drafted tokens, and in place of the first that did not stay the guided policy's own, [n, m]."""
        tokens = torch.stack([*ids[1:], ids[0]], -1)[:, : len(policy)].clone()
        for j, p in enumerate(policy):
            places = torch.from_numpy(np.flatnonzero(kept == j)).to(slots.device)
            if not len(places):
                continue
            rest = p[places]
            if j < len(chances):
                refused = torch.from_numpy(depth[kept == j] > j).to(slots.device)[:, None]
                recovered = (rest - chances[j][places]).clamp(min=0)
                # Where p = q nothing is ever refused, but for rounding.
                refused = refused & (recovered.sum(-1, keepdim=True) > 0)
                rest = torch.where(refused, recovered, rest)
            tokens[places, j] = draw(rest, uniform(slots, j, GUIDED)[places])
        return tokens

    def _learn(self, depth: np.ndarray, kept: np.ndarray, slots: Slots) -> None:
        tested = np.where(slots.live, kept + (kept < depth), 0)
        accepted = np.where(slots.live, kept, 0)
        slots.tested, slots.accepted = slots.tested * MEMORY + tested, slots.accepted * MEMORY + accepted
        self.tested += int(tested.sum())
        self.accepted += int(accepted.sum())


def _normalised(chances: Tensor) -> Tensor:
    return chances / chances.sum(-1, keepdim=True)

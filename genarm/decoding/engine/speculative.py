"""Speculative decoding of the guided policy: a draft proposes tokens, one pass of the base verifies them.

q is the distribution a drafted token d was drawn from, p the guided policy there, each after temperature,
top-k and top-p:

    accepted    d stays with probability min(1, p(d) / q(d))
    recovered   at the first that does not, a token is drawn from max(p - q, 0), normalised
    bonus       where all stay, one more token is drawn from p

The tokens are distributed as plain sampling distributes them (Leviathan et al., arXiv 2211.17192), and
P(accepted) = 1 - TV(p, q). The draft is the ARM's own model: bare, standing in for the base, and guided by
the same ARMs. The ARMs' logits at the drafted tokens are known by then, so verifying costs them nothing. An
ARM whose start is the base is contrasted with the stand-in in the draft, with the base in the verdict.

Shapes: n slots, k drafted tokens (the most of any slot), v tokens of the vocabulary. A list "by position" has
an entry for each of the k drafted tokens, and one more where the bonus is scored.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.engine.policy import (
    GUIDED,
    ReaderLogits,
    StepOutput,
    arm_logits,
    at_position,
    step_output,
    uniform_numbers,
)
from genarm.decoding.engine.slots import Slots
from genarm.decoding.guidance import ArmLogits, Scores
from genarm.decoding.runner.ensemble import Ensemble, EnsembleLogits, Part, Reader, Start
from genarm.decoding.sampling import distribution, draw

DRAFT, ACCEPT = 0, 1  # which of a position's uniform numbers draws the drafted token, and which tests it
MEMORY = 0.9  # how much a slot's older acceptances count, a round


class SpeculativePolicy:
    """Up to `most` drafted tokens and one of the guided policy's own, a slot and step."""

    def __init__(self, parts: Sequence[Part], most: int = 8) -> None:
        self.base = next(part for part in parts if part.base)
        self.drafting = [part for part in parts if not part.base]
        self.draft = next(part for part in parts if part.draft)
        self.most, self.reach = most, most + 1
        self.cost = sum(p.trunk.parameters for p in self.drafting) / self.base.trunk.parameters
        self.tested = self.accepted = 0

    @property
    def acceptance(self) -> float:
        """Accepted of all drafted tokens that were tested; those after a refused one were not."""
        return self.accepted / max(self.tested, 1)

    def step(self, ensemble: Ensemble, slots: Slots) -> StepOutput:
        """Draft tokens for every slot, verify them in one pass of the base, and draw one more."""
        depth = self.draft_depth(ensemble, slots)
        ids = [torch.from_numpy(slots.next).to(slots.device)]  # by position [n], the newest token first
        drafted: list[ReaderLogits] = []  # by position
        q: list[Tensor] = []  # by position [n, v]
        for j in range(int(depth.max(initial=0))):
            logits = ensemble.feed(ids[-1][:, None], self.drafting)
            # A recorded step overwrites these with its next replay.
            drafted.append({r: (served, of.clone()) for r, (served, of) in at_position(logits, -1).items()})
            assert logits.draft is not None
            bare = logits.draft[:, -1].to(slots.device)
            draft = Scores.of(bare, arm_logits(_with_stand_in(drafted[-1], ensemble, bare), slots))
            q.append(_normalised(distribution(draft.total, slots.sampling, draft.full)))
            ids.append(draw(q[-1], uniform_numbers(slots, j, DRAFT)))
        verdict = ensemble.feed(torch.stack(ids, -1), [self.base], head=slice(None))
        arms = [arm_logits({**at_position(verdict, j), **at}, slots) for j, at in enumerate(drafted)]
        scores = [_scores(verdict, j, at) for j, at in enumerate(arms)]
        p = [_normalised(distribution(s.total, slots.sampling, s.full)) for s in scores]  # by position [n, v]
        kept = self._test(depth, ids, q, p, slots)
        fed = len(arms)
        if bool((kept[slots.live] == fed).any()):
            # The last drafted token stayed somewhere: the ARMs' logits after it are needed there.
            after = at_position(ensemble.feed(ids[-1][:, None], self.drafting), -1)
            arms.append(arm_logits({**at_position(verdict, fed), **after}, slots))
            scores.append(_scores(verdict, fed, arms[-1]))
            last = scores[-1]
            p.append(_normalised(distribution(last.total, slots.sampling, last.full)))
        tokens = self._tokens(depth, kept, ids, q, p, slots)
        output = step_output(tokens, kept + 1, scores, arms, slots)
        stays = np.where(slots.live, kept, kept[slots.live].max(initial=0)) + 1
        ensemble.retract(self.base, len(ids), stays)
        for part in self.drafting:
            ensemble.retract(part, len(arms), np.minimum(stays, len(arms)))
        self._learn(depth, kept, slots)
        return output

    def draft_depth(self, ensemble: Ensemble, slots: Slots) -> np.ndarray:
        """How many tokens to draft for each slot [n]: the number from which its acceptance gains the most.

        A draft of k tokens costs 1 + cost * k passes of the base, counted by weights, and yields
        (1 - a^(k + 1)) / (1 - a) tokens where a share a of them is accepted.
        """
        k = np.arange(1, self.most + 1)
        a = np.minimum(slots.accepted / slots.tested, 0.99)[:, None]
        gain = (1 - a ** (k + 1)) / (1 - a) / (1 + self.cost * k)  # [n, most]
        drafted = np.zeros(len(slots), dtype=bool)
        for of_part in ensemble.batches:
            if of_part.part is self.draft:
                drafted[of_part.slots] = True
        depth = np.where(drafted, k[gain.argmax(-1)], 0)
        return np.where(slots.live, np.minimum(depth, slots.limit - slots.count - 1), 0).clip(min=0)

    def _test(
        self, depth: np.ndarray, ids: Sequence[Tensor], q: Sequence[Tensor], p: Sequence[Tensor], slots: Slots
    ) -> np.ndarray:
        """How many drafted tokens of each slot stay, [n]; depth [n], the lists by position."""
        if not q:
            return np.zeros(len(slots), dtype=np.int64)
        stays = []
        for j, (drafted, guided) in enumerate(zip(q, p, strict=True)):
            token = ids[j + 1][:, None]
            ratio = guided.gather(-1, token)[:, 0].double() / drafted.gather(-1, token)[:, 0].double()
            stays.append(uniform_numbers(slots, j, ACCEPT) < ratio)
        run = torch.stack(stays).long().cumprod(0).sum(0).cpu().numpy()
        return np.minimum(run, depth)

    def _tokens(
        self,
        depth: np.ndarray,
        kept: np.ndarray,
        ids: Sequence[Tensor],
        q: Sequence[Tensor],
        p: Sequence[Tensor],
        slots: Slots,
    ) -> Tensor:
        """Drafted tokens, and in place of the first that did not stay the guided policy's own, [n, len(p)].

        depth and kept [n], the lists by position.
        """
        tokens = torch.stack([*ids[1:], ids[0]], -1)[:, : len(p)].clone()
        for j, guided in enumerate(p):
            ending = torch.from_numpy(np.flatnonzero(kept == j)).to(slots.device)  # slots that end here
            if not len(ending):
                continue
            chances = guided[ending]
            if j < len(q):
                refused = torch.from_numpy(depth[kept == j] > j).to(slots.device)[:, None]
                recovered = (chances - q[j][ending]).clamp(min=0)
                # Where p = q nothing is ever refused, but for rounding.
                refused = refused & (recovered.sum(-1, keepdim=True) > 0)
                chances = torch.where(refused, recovered, chances)
            tokens[ending, j] = draw(chances, uniform_numbers(slots, j, GUIDED)[ending])
        return tokens

    def _learn(self, depth: np.ndarray, kept: np.ndarray, slots: Slots) -> None:
        tested = np.where(slots.live, kept + (kept < depth), 0)
        accepted = np.where(slots.live, kept, 0)
        slots.tested, slots.accepted = slots.tested * MEMORY + tested, slots.accepted * MEMORY + accepted
        self.tested += int(tested.sum())
        self.accepted += int(accepted.sum())


def _with_stand_in(readers: ReaderLogits, ensemble: Ensemble, bare: Tensor) -> ReaderLogits:
    """The same with the draft's bare logits [n, v] for each start that is the base, which is not read yet."""
    starts: dict[Reader, tuple[Tensor, Tensor]] = {}
    for arm in readers:
        if isinstance(arm, Start) or Start(arm) in readers:
            continue
        if (slots := ensemble.contrasting(arm)) is not None:
            starts[Start(arm)] = slots, bare[slots.to(bare.device)]
    return {**readers, **starts}


def _scores(verdict: EnsembleLogits, column: int, arms: Sequence[ArmLogits]) -> Scores:
    assert verdict.base is not None
    return Scores.of(verdict.base[:, column], arms)


def _normalised(chances: Tensor) -> Tensor:
    return chances / chances.sum(-1, keepdim=True)

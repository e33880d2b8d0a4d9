"""One step of the guided policy for all slots: read the newest token, score, draw."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.engine.slots import Slots
from genarm.decoding.guidance import ArmLogits, Scores, learned
from genarm.decoding.request import TokenRewards
from genarm.decoding.runner.ensemble import Ensemble
from genarm.decoding.runner.part import EnsembleLogits, Reader, Start, gathered
from genarm.decoding.sampling import distribution, draw

ReaderLogits = Mapping[Reader, tuple[Tensor, Tensor]]  # the slots that each serves [m], its logits [m, v]
GUIDED = 2  # which of a position's uniform numbers draws the guided policy's own token


class StepOutput(NamedTuple):
    """What a step drew for each of n slots: up to m tokens, of which the first `counts` are the slot's."""

    tokens: np.ndarray  # [n, m]
    counts: np.ndarray  # [n]
    base_logprob: np.ndarray  # [n, m]
    kl: np.ndarray  # [n, m]
    rewards: dict[tuple[int, int], TokenRewards]  # by slot and position, where they are asked for


class Policy(Protocol):
    """How a step draws tokens."""

    @property
    def reach(self) -> int:
        """The most columns of the cache that a step writes."""

    def step(self, ensemble: Ensemble, slots: Slots) -> StepOutput:
        """Read the newest token of every slot and draw what follows."""


class PlainPolicy:
    """One token a slot and step."""

    reach = 1

    def step(self, ensemble: Ensemble, slots: Slots) -> StepOutput:
        """Read the newest token of every slot and draw the next one."""
        newest = torch.from_numpy(slots.next[:, None]).to(slots.device)
        return self.drawn(gathered(ensemble.read(newest, ensemble.parts)), slots)

    def drawn(self, logits: EnsembleLogits, slots: Slots) -> StepOutput:
        """Draw a token for every slot from the logits of its newest one."""
        assert logits.base is not None
        arms = arm_logits(at_position(logits, -1), slots)
        scores = Scores.of(logits.base[:, -1], arms)
        if slots.sampling.greedy and bool((slots.temperature == 0).all()):
            token = scores.total.argmax(-1)
        else:
            chances = distribution(scores.total, slots.sampling, scores.full)
            token = draw(chances, uniform_numbers(slots, 0, GUIDED))
        return step_output(token[:, None], np.ones(len(slots), int), [scores], [arms], slots)


def at_position(logits: EnsembleLogits, column: int) -> ReaderLogits:
    """The logits of all readers at one position."""
    return {reader: (served, of_reader[:, column]) for reader, (served, of_reader) in logits.readers.items()}


class Weighted(Protocol):
    """What is asked of slots for the logits of ARMs."""

    @property
    def device(self) -> torch.device:
        """Where tokens are drawn."""

    def weights(self, arm: str, slots: Tensor) -> Tensor:
        """The weight [m] of an ARM in each of the slots [m] that it guides."""


def arm_logits(readers: ReaderLogits, slots: Weighted) -> list[ArmLogits]:
    """The logits of each ARM, with those of its start for the slots that contrast."""
    found = []
    for arm, (guided, logits) in readers.items():
        if isinstance(arm, Start):
            continue
        requests, weights = guided.to(slots.device), slots.weights(arm, guided)
        start = contrast = None
        if Start(arm) in readers:
            contrasting, of_start = readers[Start(arm)]
            contrast = torch.searchsorted(requests, contrasting.to(slots.device))
            start = of_start.to(slots.device)
        found.append(ArmLogits(arm, requests, weights, logits.to(slots.device), start, contrast))
    return found


def uniform_numbers(slots: Slots, ahead: int, which: int) -> Tensor:
    """A uniform number [n] for each slot's token, so many `ahead` of the last one; `which` of its DRAWS."""
    position = uniform_position(slots, ahead)
    return torch.from_numpy(slots.uniform[np.arange(len(slots)), position, which]).to(slots.device)


def uniform_position(slots: Slots, ahead: int) -> np.ndarray:
    """Which of a slot's tokens is so many `ahead` of the last one, [n]; the last where there are no more."""
    return np.minimum(slots.count + ahead, slots.limit - 1).clip(min=0)


def step_output(
    tokens: Tensor,
    counts: np.ndarray,
    scores: Sequence[Scores],
    arms: Sequence[Sequence[ArmLogits]],
    slots: Slots,
) -> StepOutput:
    """Tokens [n, m] with their log-probabilities, KL and rewards; `scores` and `arms` by position."""
    host = all_measured(tokens, scores).cpu().numpy()
    rewards: dict[tuple[int, int], TokenRewards] = {}
    for j, at_position in enumerate(arms):
        rewards |= token_rewards(slots, tokens, at_position, host[1:3], j, scores[j].total)
    return StepOutput(host[0].astype(np.int64), counts, host[1], host[3], rewards)


def all_measured(tokens: Tensor, scores: Sequence[Scores]) -> Tensor:
    """What the host needs of tokens [n, m], for one transfer: themselves and their measures, [4, n, m]."""
    measured = [torch.stack(s.measure(tokens[:, j])) for j, s in enumerate(scores)]
    return torch.cat((tokens[None].double(), torch.stack(measured, -1).double()))


def token_rewards(
    slots: Slots,
    tokens: Tensor,
    arms: Sequence[ArmLogits],
    logprobs: np.ndarray,
    column: int,
    total: Tensor,
) -> dict[tuple[int, int], TokenRewards]:
    """Rewards of the tokens of one position, for the slots whose requests ask for them.

    tokens [n, m], logprobs [2, n, m] under the base and the guided policy, whose scores at this position are
    total [n, v]; by slot and position.
    """
    asking = [i for i in slots.per_token if (s := slots.states[i]) is not None and s.request.return_rewards]
    if not asking:
        return {}
    by_slot: dict[int, dict[str, float]] = {i: {} for i in asking}
    for arm in arms:
        row = {slot: k for k, slot in enumerate(arm.requests.tolist())}
        of_start = {} if arm.contrast is None else {k: j for j, k in enumerate(arm.contrast.tolist())}
        for i in asking:
            if (k := row.get(i)) is None:
                continue
            reward = arm.logits[k].float().log_softmax(-1)
            if arm.start is not None and k in of_start:
                reward = learned(reward, arm.start[of_start[k]].float().log_softmax(-1))
            by_slot[i][arm.arm] = float(reward[tokens[i, column]])
    top = likeliest(slots, total, asking)
    return {
        (i, column): TokenRewards(
            float(logprobs[0, i, column]), float(logprobs[1, i, column]), by_slot[i], top.get(i, ())
        )
        for i in asking
    }


def likeliest(slots: Slots, total: Tensor, asking: Sequence[int]) -> dict[int, tuple[tuple[int, float], ...]]:
    """The likeliest tokens by slot, for those of `asking` whose requests ask for any; total [n, v]."""
    wanted = {i: s.request.return_top for i in asking if (s := slots.states[i]) and s.request.return_top}
    if not wanted:
        return {}
    logprobs = total[list(wanted)].log_softmax(-1)
    values, ids = (found.tolist() for found in logprobs.topk(min(max(wanted.values()), total.shape[-1])))
    return {
        i: tuple((t, v) for t, v in zip(ids[row][:count], values[row][:count], strict=True) if v > -np.inf)
        for row, (i, count) in enumerate(wanted.items())
    }

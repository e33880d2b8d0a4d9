"""One step of the guided policy for all slots: read the newest token, score, draw."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.engine.slots import Slots
from genarm.decoding.guidance import Opinion, Scores, TokenRewards
from genarm.decoding.runner.ensemble import Ensemble, Reading
from genarm.decoding.sampling import distribution, draw

GUIDED = 2  # which of a position's uniform numbers draws the guided policy's own token


class Drawn(NamedTuple):
    """What a step gave each of n slots: up to m tokens, of which the first `counts` are the slot's."""

    tokens: np.ndarray  # [n, m]
    counts: np.ndarray  # [n]
    base_logprob: np.ndarray  # [n, m]
    kl: np.ndarray  # [n, m]
    rewards: dict[tuple[int, int], TokenRewards]  # by slot and position, where they are asked for


def opinions(reading: Reading, slots: Slots, column: int) -> list[Opinion]:
    """What each ARM says of one position."""
    return [
        Opinion(
            arm, speakers.to(slots.device), slots.weights(arm, speakers), logits[:, column].to(slots.device)
        )
        for arm, (speakers, logits) in reading.arms.items()
    ]


class PlainPolicy:
    """A token a slot and step."""

    reach = 1  # columns that a step writes

    def step(self, ensemble: Ensemble, slots: Slots) -> Drawn:
        newest = torch.from_numpy(slots.next[:, None]).to(slots.device)
        reading = ensemble.feed(newest, ensemble.parts)
        assert reading.base is not None
        said = opinions(reading, slots, -1)
        scores = Scores.of(reading.base[:, -1], said)
        knobs = slots.knobs
        if knobs.greedy and bool((slots.temperature == 0).all()):
            token = scores.total.argmax(-1)
        else:
            token = draw(distribution(scores.total, knobs, scores.full), uniform(slots, 0, GUIDED))
        return drawn_from(token[:, None], np.ones(len(slots), int), [scores], [said], slots)


def uniform(slots: Slots, ahead: int, which: int) -> Tensor:
    """The uniform number of each slot, so many tokens ahead of the last one drawn."""
    places = np.minimum(slots.count + ahead, slots.limit - 1).clip(min=0)
    return torch.from_numpy(slots.uniform[np.arange(len(slots)), places, which]).to(slots.device)


def drawn_from(
    tokens: Tensor,
    counts: np.ndarray,
    scores: Sequence[Scores],
    said: Sequence[Sequence[Opinion]],
    slots: Slots,
) -> Drawn:
    """Tokens [n, m] with what base and guided policy say of them, position by position."""
    measured = [torch.stack(s.measure(tokens[:, j])) for j, s in enumerate(scores)]
    # All that the host needs, in one transfer: [4, n, m].
    host = torch.cat((tokens[None].double(), torch.stack(measured, -1).double())).cpu().numpy()
    rewards: dict[tuple[int, int], TokenRewards] = {}
    for j, opinion in enumerate(said):
        rewards |= rewards_of(slots, tokens, list(opinion), host[1:3], j)
    return Drawn(host[0].astype(np.int64), counts, host[1], host[3], rewards)


def rewards_of(
    slots: Slots, tokens: Tensor, said: list[Opinion], logprobs: np.ndarray, column: int
) -> dict[tuple[int, int], TokenRewards]:
    """Rewards of the tokens of one position, for the slots whose requests ask for them.

    tokens [n, m], logprobs [2, n, m] under the base and the guided policy.
    """
    asking = [i for i in slots.heard if (t := slots.tickets[i]) is not None and t.request.return_rewards]
    if not asking:
        return {}
    arms: dict[int, dict[str, float]] = {i: {} for i in asking}
    for opinion in said:
        place = {owner: k for k, owner in enumerate(opinion.owner.tolist())}
        for i in asking:
            if i in place:
                own = opinion.logits[place[i]].float().log_softmax(-1)
                arms[i][opinion.arm] = float(own[tokens[i, column]])
    return {
        (i, column): TokenRewards(float(logprobs[0, i, column]), float(logprobs[1, i, column]), arms[i])
        for i in asking
    }

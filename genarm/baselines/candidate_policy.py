"""One token a step, out of the base's k likeliest, by the base's logit and a reward.

    score(v) = logit(v) + w * value(v)       v in the k best, nothing else

greedy      v = argmax score
stochastic  v ~ softmax(score / temperature), narrowed by the request's top-k and top-p

The value is the reward of the text with v (ARGS), or with v and what an aligned model makes of it
(Transfer Q*). KL is that of the policy against the base, at temperature 1 as for guided decoding; a greedy
policy is certain, so its KL is -log p_base(v).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from genarm.baselines.follower import Follower, Following
from genarm.baselines.reward_model import RewardModel
from genarm.baselines.rollouts import Rollouts, alone, closed
from genarm.decoding.engine.policy import GUIDED, StepOutput, step_output, uniform_numbers
from genarm.decoding.engine.request_state import RequestState
from genarm.decoding.engine.slots import Slots
from genarm.decoding.guidance import Scores
from genarm.decoding.request import TokenRewards
from genarm.decoding.runner.ensemble import Ensemble, Part
from genarm.decoding.sampling import distribution, draw
from genarm.errors import ModelError

REWARD = "reward"  # what a request's `weights` calls it
RULED_OUT = -1e30  # what is added to a logit outside the candidates; finite, so that 0 * it is 0


@dataclass(frozen=True)
class Scorer:
    """A reward model, and its place in the ensemble."""

    model: RewardModel
    follower: Follower


class CandidatePolicy:
    """A policy of the engine. `value` makes one number of the scores of all reward models, [m, k] each."""

    def __init__(
        self,
        base: Part,
        scorers: Sequence[Scorer],
        *,
        k: int,
        greedy: bool,
        ends: Sequence[int],
        rollouts: Rollouts | None = None,
        value: Callable[..., Tensor] = lambda reward: reward,
    ) -> None:
        self.base, self.scorers, self.k, self.greedy = base, list(scorers), k, greedy
        self.rollouts, self.value = rollouts, value
        self.ends = torch.tensor(list(ends), device=base.trunk.device)
        self.passes: Counter[str] = Counter()
        self.faults: list[tuple[RequestState, ModelError]] = []  # of requests whose scores are no numbers
        longest = 1 + (rollouts.length if rollouts else 0)
        ending = max(len(scorer.model.ending) for scorer in scorers)
        self.reach = 1 + k * (longest + ending)
        self.beyond = longest - 1 + ending  # tokens past the response that are read

    def step(self, ensemble: Ensemble, slots: Slots) -> StepOutput:
        """Read the newest token of every slot and draw the next one."""
        newest = torch.from_numpy(slots.next[:, None]).to(slots.device)
        logits = ensemble.feed(newest, [self.base]).base
        assert logits is not None
        base = logits[:, -1].float()
        self.passes["base"] += int(slots.live.sum())
        slots.guided |= slots.live  # with a weight of 0 too the candidates alone move the policy
        candidates = base.topk(self.k).indices  # [n, k]
        rewards = torch.zeros_like(candidates, dtype=torch.float32)
        guidance = torch.zeros_like(rewards)
        served, following = self._following(ensemble, slots)
        if len(served):
            values = self._values(candidates[served], following, served, slots)
            rewards[served] = values
            guidance[served] = values * slots.weights(REWARD, served)[:, None]
        guidance = torch.full_like(base, RULED_OUT).scatter(-1, candidates, guidance)
        total = base + guidance
        if self.greedy:
            token = total.argmax(-1)
            full = torch.zeros_like(total).scatter(-1, token[:, None], 1)
        else:
            full = total.softmax(-1)
            token = draw(distribution(total, slots.sampling, full), uniform_numbers(slots, 0, GUIDED))
        chosen = (candidates == token[:, None]).long().argmax(-1)  # [n]
        for each in following.values():
            each.keep(chosen[served])
        scores = Scores(base, guidance, total, full)
        output = step_output(token[:, None], np.ones(len(slots), int), [scores], [[]], slots)
        return output._replace(rewards=_with_reward(output.rewards, rewards, chosen))

    def _following(self, ensemble: Ensemble, slots: Slots) -> tuple[Tensor, dict[str, Following]]:
        """The slots that the reward models serve [m], and each follower's branches by its name."""
        followers = [scorer.follower for scorer in self.scorers]
        followers += [self.rollouts.follower] if self.rollouts else []
        here = next((of for of in ensemble.batches if of.part is followers[0].part), None)
        if here is None:
            return torch.zeros(0, dtype=torch.long), {}
        # The same tensor until the ensemble is arranged anew, by which slots.weights knows it.
        served = here.places.served[REWARD]
        begun = {f.name: f.begin(ensemble, slots, self.k, self.passes) for f in followers}
        return served, {name: following for name, following in begun.items() if following is not None}

    def _values(
        self, candidates: Tensor, following: dict[str, Following], served: Tensor, slots: Slots
    ) -> Tensor:
        """The value of each candidate [m, k], NaN for a slot where a score is no finite number."""
        ignore = torch.from_numpy(slots.ignore_eos).to(candidates.device)[served]
        texts = alone(candidates, self.ends, ignore)
        best = torch.zeros(len(candidates), device=candidates.device)
        if (rollouts := self.rollouts) is not None:
            beside = following[rollouts.follower.name]
            texts, best = rollouts.extend(texts, beside, self.ends, ignore)
            self._blame(best[:, None], served, slots, rollouts.fault)
        rewards = []
        for scorer in self.scorers:
            ids, lengths = closed(texts, scorer.model.ending)
            labels = following[scorer.follower.name].read(ids, lengths)
            at_end = scorer.model.values(labels).to(candidates.device)
            rewards.append(at_end.gather(-1, lengths[..., None] - 1)[..., 0])
            self._blame(rewards[-1], served, slots, scorer.model.fault)
        values = self.value(*rewards) + 0 * best[:, None]  # none where the rollouts' logits were none
        self._blame(values, served, slots, _no_value)
        return values.masked_fill(~values.isfinite().all(-1, keepdim=True), torch.nan)

    def _blame(
        self, values: Tensor, served: Tensor, slots: Slots, fault: Callable[[str], ModelError]
    ) -> None:
        """Note the error of each request that has a value which is no finite number."""
        for slot in served[~values.isfinite().all(-1)].tolist():
            state = slots.states[slot]
            if state is not None:
                self.faults.append((state, fault(f"request {state.number}")))


def _no_value(request: str) -> ModelError:
    return ModelError(
        f"{request}: its rewards are finite, and what is made of them is not",
        hint="raise beta: the weight exp((r - r_BL) / beta) is beyond the largest number",
    )


def _with_reward(
    told: Mapping[tuple[int, int], TokenRewards], rewards: Tensor, chosen: Tensor
) -> dict[tuple[int, int], TokenRewards]:
    """The rewards of tokens, by slot and position, with the value of the candidate that was drawn."""
    return {
        (slot, column): replace(each, arms={REWARD: float(rewards[slot, chosen[slot]])})
        for (slot, column), each in told.items()
    }

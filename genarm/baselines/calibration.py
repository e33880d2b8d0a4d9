"""What rewards the base earns by itself: the scale on which a method's target and strength are set.

A reward is on its model's own scale, so a constant that suits one model is out of reach, or always reached,
with another. The requests are to be of other prompts than those that a comparison answers.
"""

from collections.abc import Sequence

import numpy as np

from genarm.baselines.reward_model import RewardModel
from genarm.baselines.reward_rows import RewardRows
from genarm.decoding import GuidedRequest
from genarm.decoding.engine.engine import Engine
from genarm.errors import ConfigError


def target_reward(
    engine: Engine, reward: RewardModel, requests: Sequence[GuidedRequest], quantile: float
) -> float:
    """The quantile of the rewards of the base's own responses to these requests, such as 0.9.

    Raises ConfigError for a quantile outside (0, 1) or no requests, ModelError where a reward is no number.
    """
    if not 0 < quantile < 1 or not requests:
        raise ConfigError(
            f"the target is the quantile {quantile} of the rewards of {len(requests)} responses",
            hint="take a quantile in (0, 1), such as 0.9, and some prompts that are not compared",
        )
    return float(np.quantile(base_rewards(engine, reward, requests), quantile))


def deviation(rewards: Sequence[float]) -> float:
    """The standard deviation of rewards. Raises ConfigError for fewer than two, or where all are equal."""
    spread = float(np.std(rewards)) if len(rewards) > 1 else 0.0
    if spread == 0:
        raise ConfigError(
            f"the reward model gives the same to all {len(rewards)} responses of the base, so its scale is "
            "not known",
            hint="take more validation prompts, or a reward model that was trained",
        )
    return spread


def base_rewards(engine: Engine, reward: RewardModel, requests: Sequence[GuidedRequest]) -> list[float]:
    """The rewards of the base's own responses to these requests.

    Raises ModelError where a reward is no number.
    """
    answers = engine.generate(requests)
    found: list[float] = []
    for first in range(0, len(requests), engine.slots):
        rows = RewardRows(reward)
        chunk = range(first, min(first + engine.slots, len(requests)))
        rows.join({f"calibration prompt {i}": requests[i].prompt for i in chunk})
        ends = engine.stop_criteria.end_tokens if reward.ending else ()
        responses = {
            f"calibration prompt {i}": [[t for t in answers[i].tokens if t not in ends]] for i in chunk
        }
        found += [scores[0] for scores in rows.scores(responses).values()]
    return found

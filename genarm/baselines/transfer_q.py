"""Transfer Q* (arXiv 2405.20495): a candidate is worth the reward of what an aligned model makes of it.

    score(v) = logit(v) + w * TQ(v)      v in the base's k best; y_v = [v, greedy rollout of L tokens]
    direct     TQ(v) = r([x, y, y_v])                                       aligned with the target reward r
    indirect   TQ(v) = exp((r([x, y, y_v]) - r_BL([x, y, y_v])) / beta) * r([x, y, y_v])    aligned with r_BL

The paper's TQ is an expectation over rollouts of the aligned model, here of one, as its experiments have it.
Indirect transfer weighs a rollout by rho_r / rho_BL, which the closed form of both policies gives up to a
factor Z_BL / Z_r of the prompt; that factor is taken as 1. A token costs B + k * L of the aligned model +
k * (L + 1) of each reward model. The base gives the logits and another model the rollouts; in the public code
both are one model, and for indirect transfer both rewards too, which makes the weight 1.
"""

import math
from functools import partial
from pathlib import Path

from torch import Tensor

from genarm.baselines.candidate_engine import Mode, candidate_engine
from genarm.baselines.reward_model import RewardFolder
from genarm.baselines.scored_engine import ScoredEngine
from genarm.errors import ConfigError
from genarm.models import ModelSource


def load_transfer_q(
    base: ModelSource | str,
    reward: RewardFolder | Path | str,
    aligned: Path | str,
    *,
    dtype: str,
    baseline_reward: RewardFolder | Path | str | None = None,
    beta: float = 2.0,
    k: int = 10,
    weight: float = 1.0,
    rollout: int = 20,
    mode: Mode = "greedy",
    batch_size: int = 32,
) -> ScoredEngine:
    """A decoder by direct transfer, or by indirect transfer where `baseline_reward` is given.

    `aligned` is the folder of an ARM trained by `objective: dpo`, or of any model with the base's tokenizer.
    `beta` is the strength of the KL penalty with which it was aligned; with 2 the weight is the public code's
    exp(0.5 (r - r_BL)). Raises ConfigError for a setting out of range, TokenizerMismatch for a model of other
    tokens.
    """
    if rollout < 1:
        raise ConfigError(
            f"rollout is {rollout}", hint="it is a number of tokens, at least 1; ARGS has no rollouts"
        )
    if not (beta > 0 and math.isfinite(beta)):
        raise ConfigError(f"beta is {beta}", hint="it is a finite number above 0")
    given = [reward] if baseline_reward is None else [reward, baseline_reward]
    return candidate_engine(
        base,
        [folder if isinstance(folder, RewardFolder) else RewardFolder(folder) for folder in given],
        dtype=dtype,
        k=k,
        weight=weight,
        mode=mode,
        batch_size=batch_size,
        aligned=aligned,
        rollout=rollout,
        **({} if baseline_reward is None else {"value": partial(indirect, beta=beta)}),
    )


def indirect(reward: Tensor, baseline: Tensor, beta: float) -> Tensor:
    """exp((r - r_BL) / beta) * r of each rollout."""
    return ((reward - baseline) / beta).exp() * reward

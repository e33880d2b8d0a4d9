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

from genarm.baselines.candidate_engine import ALIGNED, Candidates, Mode, candidate_engine, load_models
from genarm.baselines.reward_model import RewardFolder, RewardModel
from genarm.baselines.scored_engine import ScoredEngine
from genarm.decoding.engine.engine import Engine
from genarm.errors import ConfigError
from genarm.models import ModelSource


def transfer_q(
    engine: Engine,
    reward: RewardModel,
    aligned: str,
    *,
    baseline_reward: RewardModel | None = None,
    beta: float = 2.0,
    k: int = 10,
    weight: float = 1.0,
    rollout: int = 20,
    mode: Mode = "greedy",
) -> ScoredEngine:
    """A decoder by direct transfer, by indirect transfer with a `baseline_reward`; on a loaded decoder.

    `aligned` is an ARM of that decoder, such as an adapter trained by `objective: dpo`, or any model with the
    base's tokenizer. `beta` is the strength of the KL penalty with which it was aligned; with 2 the weight is
    the public code's exp(0.5 (r - r_BL)). Raises ConfigError for a setting out of range.
    """
    _check(rollout, beta)
    rewards, value = [reward], {}
    if baseline_reward is not None:
        rewards, value = [reward, baseline_reward], {"value": partial(indirect, beta=beta)}
    return candidate_engine(
        engine, rewards, Candidates(k, weight, mode), aligned=aligned, rollout=rollout, **value
    )


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
    """The same of folders: `aligned` is that of an ARM or of a model.

    Raises ConfigError for a setting out of range, TokenizerMismatch for a model of other tokens, before any
    weight is loaded.
    """
    _check(rollout, beta)
    engine, models = load_models(
        base,
        [reward] if baseline_reward is None else [reward, baseline_reward],
        Candidates(k, weight, mode),
        dtype=dtype,
        batch_size=batch_size,
        arms={ALIGNED: aligned},
    )
    baseline = models[1] if len(models) > 1 else None
    return transfer_q(
        engine,
        models[0],
        ALIGNED,
        baseline_reward=baseline,
        beta=beta,
        k=k,
        weight=weight,
        rollout=rollout,
        mode=mode,
    )


def _check(rollout: int, beta: float) -> None:
    if rollout < 1:
        raise ConfigError(
            f"rollout is {rollout}", hint="it is a number of tokens, at least 1; ARGS has no rollouts"
        )
    if not (beta > 0 and math.isfinite(beta)):
        raise ConfigError(f"beta is {beta}", hint="it is a finite number above 0")


def indirect(reward: Tensor, baseline: Tensor, beta: float) -> Tensor:
    """exp((r - r_BL) / beta) * r of each rollout."""
    return ((reward - baseline) / beta).exp() * reward

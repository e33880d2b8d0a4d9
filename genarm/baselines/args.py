"""ARGS (arXiv 2402.01694): a reward model for whole texts, asked about each of the base's k best tokens.

    greedy      argmax_{v in top-k} logit(v) + w * r([x, y, v])
    stochastic  v ~ softmax((logit(v) + w * r([x, y, v])) / temperature) over the same k

A token costs one pass of the base and k of the reward model. With a reward model that was trained on
prefixes as well this is PARGS (arXiv 2406.07780): the same decoder, another folder.
"""

from pathlib import Path

from genarm.baselines.candidate_engine import Mode, candidate_engine
from genarm.baselines.reward_model import RewardFolder
from genarm.baselines.scored_engine import ScoredEngine
from genarm.models import ModelSource


def load_args(
    base: ModelSource | str,
    reward: RewardFolder | Path | str,
    *,
    dtype: str,
    k: int = 10,
    weight: float = 1.0,
    mode: Mode = "greedy",
    batch_size: int = 32,
) -> ScoredEngine:
    """A decoder by ARGS, with the reward model of a folder or hub id.

    A greedy one takes the best token whatever a request's temperature; a stochastic one divides by it. Raises
    ConfigError where k is above the vocabulary, TokenizerMismatch for a reward model of other tokens.
    """
    folder = reward if isinstance(reward, RewardFolder) else RewardFolder(reward)
    return candidate_engine(base, [folder], dtype=dtype, k=k, weight=weight, mode=mode, batch_size=batch_size)

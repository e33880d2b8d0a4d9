"""ARGS (arXiv 2402.01694): a reward model for whole texts, asked about each of the base's k best tokens.

    greedy      argmax_{v in top-k} logit(v) + w * r([x, y, v])
    stochastic  v ~ softmax((logit(v) + w * r([x, y, v])) / temperature) over the same k

A token costs one pass of the base and k of the reward model. With a reward model that was trained on
prefixes as well this is PARGS (arXiv 2406.07780): the same decoder, another folder.
"""

from pathlib import Path

from genarm.baselines.candidate_engine import Candidates, Mode, candidate_engine, load_models
from genarm.baselines.reward_model import RewardFolder, RewardModel
from genarm.baselines.scored_engine import ScoredEngine
from genarm.decoding.engine.engine import Engine
from genarm.models import ModelSource


def args(
    engine: Engine, reward: RewardModel, *, k: int = 10, weight: float = 1.0, mode: Mode = "greedy"
) -> ScoredEngine:
    """A decoder by ARGS, on the base of a decoder that is loaded.

    A greedy one takes the best token whatever a request's temperature; a stochastic one divides by it. Raises
    ConfigError where k is above the vocabulary.
    """
    return candidate_engine(engine, [reward], Candidates(k, weight, mode))


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

    Raises ConfigError where k is above the vocabulary, TokenizerMismatch for a reward model of other tokens.
    """
    settings = Candidates(k, weight, mode)
    engine, (model,) = load_models(base, [reward], settings, dtype=dtype, batch_size=batch_size)
    return candidate_engine(engine, [model], settings)

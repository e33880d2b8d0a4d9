"""Judges behind one contract: load one per dimension, then let them compare the sides."""

from genarm.config import ScorerConfig
from genarm.judges.base import PAIRINGS, Judge, ScoreJudge, Scorer, judge, rate
from genarm.judges.identity import scorer_identity
from genarm.judges.scorers import SCORERS, load_scorer

__all__ = [
    "PAIRINGS",
    "SCORERS",
    "Judge",
    "ScoreJudge",
    "Scorer",
    "judge",
    "load_judge",
    "load_scorer",
    "rate",
    "scorer_identity",
]


def load_judge(config: ScorerConfig) -> Judge:
    """The judge of one dimension. Raises JudgeError where its scorer cannot be loaded."""
    return ScoreJudge(load_scorer(config), tie=config.tie)

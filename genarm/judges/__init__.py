"""Judges behind one contract: load one per dimension, then let them compare the sides."""

from genarm.judges.base import PAIRINGS, Judge, ScoreJudge, Scorer, by_text, judge, preference, rate
from genarm.judges.identity import scorer_identity
from genarm.judges.load import LoadedJudge, load_judge, load_scorer, load_with_origin
from genarm.judges.scorers import SCORERS

__all__ = [
    "PAIRINGS",
    "SCORERS",
    "Judge",
    "LoadedJudge",
    "ScoreJudge",
    "Scorer",
    "by_text",
    "judge",
    "load_judge",
    "load_scorer",
    "load_with_origin",
    "preference",
    "rate",
    "scorer_identity",
]

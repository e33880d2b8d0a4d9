"""Scores of a row's responses by a judge that gives some: made once, for all rows compared with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genarm.experiments.answer import Answer
from genarm.experiments.place import Place
from genarm.judges.base import ScoreJudge
from genarm.pipeline.kept import kept
from genarm.pipeline.project import Project
from genarm.system.files import read_rows, sha256
from genarm.types import Prompt


@dataclass(frozen=True, slots=True)
class Score:
    """What a judge gives the response of the same place in a file of answers."""

    score: float


def recall(
    place: Place,
    judge: ScoreJudge,
    depends_on: Mapping[str, Any],
    prompts: Mapping[str, Prompt],
    row: str,
    seeds: Sequence[int],
) -> None:
    """Let a judge know its scores of all responses of a row; those of a seed are made in one call.

    They are kept under a hash of the responses and of `depends_on`, all that makes this judge another one.
    Raises JudgeError where a score is no finite number.
    """
    own = Project(place.kept_scores)  # for its folder alone
    for seed in seeds:
        answers = read_rows(place.answers(row, seed), Answer)
        asked = [prompts[a.response.prompt_id] for a in answers]
        texts = [a.response.text for a in answers]

        def make(asked: Sequence[Prompt] = asked, texts: Sequence[str] = texts) -> list[Score]:
            return [Score(score) for score in judge.scores(asked, texts)]

        depends = {**depends_on, "answers": sha256(place.answers(row, seed))}
        scores = kept(own, "scores", depends, Score, make)
        for prompt, text, known in zip(asked, texts, scores, strict=True):
            judge.remember(prompt, text, known.score)

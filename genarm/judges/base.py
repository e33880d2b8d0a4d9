"""The contract of a judge, and the verdicts of all judges on the sides that answered.

Nothing here knows what a judge is made of: a function of the text, a reward model and an LLM are used in the
same way. Files and parameters are not known here either.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Protocol

from genarm.errors import DataError, JudgeError
from genarm.types import Prompt, Response, Side, Verdict

Scorer = Callable[[str], float]

# Left against right. The order is that of the verdict files.
PAIRINGS: tuple[tuple[Side, Side], ...] = (
    ("challenger", "base"),
    ("champion", "base"),
    ("challenger", "champion"),
)


class Judge(Protocol):
    """Compares two responses to one prompt."""

    def compare(self, prompt: Prompt, left: Response, right: Response) -> float | None:
        """Preference in [-1, 1]: above 0 for `left`, below 0 for `right`, 0 a tie, None if unreadable.

        A judge whose answer depends on the order asks for both orders and returns the mean.
        """


class ScoreJudge:
    """A scorer as a judge: the response with the higher score is preferred, with preference 1.

    compare = sign(score(left) - score(right)); 0 where the scores are less than `tie` apart.
    """

    def __init__(self, score: Scorer, tie: float = 0.0) -> None:
        self._score = functools.cache(score)  # the base's response meets two others
        self._tie = tie

    def score(self, prompt: Prompt, text: str) -> float:
        """The score of one response. Raises JudgeError where it is no finite number."""
        return rate(self._score, text, prompt.id)

    def compare(self, prompt: Prompt, left: Response, right: Response) -> float:
        """1 for `left`, -1 for `right`, 0 for a tie. Raises JudgeError where a score is no finite number."""
        gap = self.score(prompt, left.text) - self.score(prompt, right.text)
        if gap == 0 or abs(gap) < self._tie:
            return 0.0
        return math.copysign(1.0, gap)


def rate(score: Scorer, text: str, prompt_id: str) -> float:
    """The score of one response. Raises JudgeError where it is not a finite number.

    The error names the prompt and the length: the text itself does not belong in logs.
    """
    value: object
    try:
        value = score(text)
    except Exception as error:  # a user's scorer may raise anything; name the response that it failed on
        raise JudgeError(
            f"the scorer failed on the response to prompt {prompt_id}: {type(error).__name__}: {error}",
            hint=f"a scorer takes any text, also an empty one; this one has {len(text)} characters",
        ) from error
    if not isinstance(value, Real) or not math.isfinite(value):
        shown = repr(value) if isinstance(value, Real) else f"a {type(value).__name__}"
        raise JudgeError(
            f"the scorer gave {shown} for the response to prompt {prompt_id}",
            hint=f"a scorer returns a finite number for any text; this one has {len(text)} characters",
        )
    return float(value)


def judge(
    prompts: Sequence[Prompt], responses: Mapping[Side, Sequence[Response]], judges: Mapping[str, Judge]
) -> list[Verdict]:
    """Verdicts of every dimension's judge on the pairings whose two sides answered, prompt by prompt.

    Raises DataError where a side did not answer exactly these prompts, once each.
    """
    answers = {side: _by_prompt(side, prompts, rows) for side, rows in responses.items()}
    return [
        _verdict(judge, p, dimension, (left, right), answers[left][p.id], answers[right][p.id])
        for dimension, judge in judges.items()
        for left, right in PAIRINGS
        if left in answers and right in answers
        for p in prompts
    ]


def _verdict(
    judge: Judge, prompt: Prompt, dimension: str, sides: tuple[Side, Side], left: Response, right: Response
) -> Verdict:
    """One verdict, with the scores of both sides where the judge compares scores."""
    preference = _checked(judge, prompt, left, right)
    scores = None
    if isinstance(judge, ScoreJudge):
        scores = judge.score(prompt, left.text), judge.score(prompt, right.text)
    return Verdict(prompt.id, dimension, *sides, preference, scores)


def _checked(judge: Judge, prompt: Prompt, left: Response, right: Response) -> float | None:
    preference = judge.compare(prompt, left, right)
    if preference is not None and not -1 <= preference <= 1:
        raise JudgeError(
            f"a judge gave preference {preference!r} on prompt {prompt.id}",
            hint="a preference lies in [-1, 1]; None stands for a judge that could not be read",
        )
    return preference


def _by_prompt(side: Side, prompts: Sequence[Prompt], rows: Sequence[Response]) -> dict[str, Response]:
    answers: dict[str, Response] = {}
    for row in rows:
        if row.prompt_id in answers:
            raise DataError(f"{side} answered prompt {row.prompt_id} twice", hint=f"genarm respond {side}")
        answers[row.prompt_id] = row
    asked = dict.fromkeys(p.id for p in prompts)
    if missing := next((i for i in asked if i not in answers), None):
        raise DataError(f"{side} did not answer prompt {missing}", hint=f"genarm respond {side}")
    if unasked := next((i for i in answers if i not in asked), None):
        raise DataError(
            f"{side} answered prompt {unasked}, which is not among the {len(asked)} asked",
            hint=f"genarm respond {side}",
        )
    return answers

"""The contract of a judge, and the verdicts of all judges on the sides that answered.

Nothing here knows what a judge is made of: a function of the text, a reward model and an LLM are used in the
same way. Files and parameters are not known here either.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Protocol, runtime_checkable

from genarm.errors import DataError, JudgeError
from genarm.judges.blame import in_one_line
from genarm.system.counted import counted
from genarm.types import Prompt, Response, Side, Verdict

Scorer = Callable[[str], float]
PromptScorer = Callable[[Prompt, str], float]
BatchScorer = Callable[[Sequence[Prompt], Sequence[str]], Sequence[float]]
Comparison = tuple[Prompt, Response, Response]  # prompt, left, right

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


@runtime_checkable
class PreparedJudge(Judge, Protocol):
    """A judge that wants to see all comparisons before the first one, such as a model that reads batches."""

    def prepare(self, comparisons: Sequence[Comparison]) -> None:
        """Take note of all that `compare` will be asked."""


class ScoreJudge:
    """A scorer as a judge: the response with the higher score is preferred, with preference 1.

    compare = sign(score(left) - score(right)); 0 where the scores are less than `tie` apart. With `score_all`
    the responses of all comparisons are scored in one call.
    """

    def __init__(
        self,
        score: PromptScorer,
        tie: float = 0.0,
        score_all: BatchScorer | None = None,
    ) -> None:
        self._score, self._tie, self._score_all = score, tie, score_all
        self._known: dict[tuple[str, str], float] = {}  # the base's response meets two others

    def prepare(self, comparisons: Sequence[Comparison]) -> None:
        """Score all new responses at once, where the scorer can. Raises JudgeError for what is no number."""
        if self._score_all is None:
            return
        asked = {(p.id, r.text): p for p, *sides in comparisons for r in sides}
        asked = {key: prompt for key, prompt in asked.items() if key not in self._known}
        found = self.scores(list(asked.values()), [text for _, text in asked])
        self._known.update(zip(asked, found, strict=True))

    def scores(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[float]:
        """The scores of responses, in one call where the scorer can; what is known already has no part in it.

        Raises JudgeError where one is no finite number.
        """
        asked = {(prompt.id, text): prompt for prompt, text in zip(prompts, texts, strict=True)}
        found: dict[tuple[str, str], float] = {}
        if self._score_all is not None and asked:
            found = self._at_once(self._score_all, asked)
        elif asked:
            for (prompt_id, text), prompt in asked.items():
                found[prompt_id, text] = rate(partial(self._score, prompt), text, prompt_id)
        return [found[prompt.id, text] for prompt, text in zip(prompts, texts, strict=True)]

    def _at_once(
        self, score_all: BatchScorer, asked: Mapping[tuple[str, str], Prompt]
    ) -> dict[tuple[str, str], float]:
        prompts, texts = list(asked.values()), [text for _, text in asked]
        try:
            scores = list(score_all(prompts, texts))
        except JudgeError:
            raise
        except Exception as error:  # a user's scorer may raise anything
            raise JudgeError(
                f"the scorer failed on {counted(len(texts), 'response')} at once: {in_one_line(error)}",
                hint="score_all takes prompts and responses, equally many, and returns a number for each",
            ) from error
        if len(scores) != len(texts):
            raise JudgeError(
                f"the scorer gave {counted(len(scores), 'score')} for {counted(len(texts), 'response')}",
                hint="score_all returns a number for each response, in their order",
            )
        return {key: _finite(score, *key) for key, score in zip(asked, scores, strict=True)}

    def remember(self, prompt: Prompt, text: str, score: float) -> None:
        """Take a score that was made before for what it would give, unless it knows one."""
        self._known.setdefault((prompt.id, text), score)

    def score(self, prompt: Prompt, text: str) -> float:
        """The score of one response. Raises JudgeError where it is no finite number."""
        key = (prompt.id, text)
        if key not in self._known:
            self._known[key] = rate(partial(self._score, prompt), text, prompt.id)
        return self._known[key]

    def compare(self, prompt: Prompt, left: Response, right: Response) -> float:
        """1 for `left`, -1 for `right`, 0 for a tie. Raises JudgeError where a score is no finite number."""
        gap = self.score(prompt, left.text) - self.score(prompt, right.text)
        if gap == 0 or abs(gap) < self._tie:
            return 0.0
        return math.copysign(1.0, gap)


def by_text(score: Scorer) -> PromptScorer:
    """A function of the text as a function of prompt and text."""
    return lambda prompt, text: score(text)


def rate(score: Scorer, text: str, prompt_id: str) -> float:
    """The score of one response. Raises JudgeError where it is not a finite number.

    The error names the prompt and the length: the text itself does not belong in logs.
    """
    try:
        value = score(text)
    except JudgeError:
        raise
    except Exception as error:  # a user's scorer may raise anything; name the response that it failed on
        raise JudgeError(
            f"the scorer failed on the response to prompt {prompt_id}: {in_one_line(error)}",
            hint=f"a scorer takes any text, also an empty one; this one has {len(text)} characters",
        ) from error
    return _finite(value, prompt_id, text)


def _finite(value: object, prompt_id: str, text: str) -> float:
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
    pairings = [pairing for pairing in PAIRINGS if answers.keys() >= set(pairing)]
    for judge in judges.values():
        if isinstance(judge, PreparedJudge):
            judge.prepare([(p, answers[a][p.id], answers[b][p.id]) for a, b in pairings for p in prompts])
    return [
        _verdict(judge, p, dimension, (left, right), answers[left][p.id], answers[right][p.id])
        for dimension, judge in judges.items()
        for left, right in pairings
        for p in prompts
    ]


def _verdict(
    judge: Judge, prompt: Prompt, dimension: str, sides: tuple[Side, Side], left: Response, right: Response
) -> Verdict:
    """One verdict, with the scores of both sides where the judge compares scores."""
    said = preference(judge, prompt, left, right)
    scores = None
    if isinstance(judge, ScoreJudge):
        scores = judge.score(prompt, left.text), judge.score(prompt, right.text)
    return Verdict(prompt.id, dimension, *sides, said, scores)


def preference(judge: Judge, prompt: Prompt, left: Response, right: Response) -> float | None:
    """What a judge says of two responses. Raises JudgeError where that is no preference."""
    try:
        said: object = judge.compare(prompt, left, right)
    except JudgeError:
        raise
    except Exception as error:  # a user's judge may raise anything
        raise JudgeError(
            f"the judge failed on prompt {prompt.id}: {in_one_line(error)}",
            hint="a judge compares any two texts, also empty ones",
        ) from error
    if said is None:
        return None
    if not isinstance(said, Real) or not -1 <= (value := float(said)) <= 1:
        shown = repr(said) if isinstance(said, Real) else f"a {type(said).__name__}"
        raise JudgeError(
            f"the judge gave the preference {shown} on prompt {prompt.id}",
            hint="a preference lies in [-1, 1]; None stands for a judge that could not be read",
        )
    return value


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

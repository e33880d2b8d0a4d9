"""Prompts with what every side answered, what the judges said, and which of them gained or lost most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from genarm.evaluation.scorecard import SIDES
from genarm.evaluation.win_rate import TIE
from genarm.report.given import ReportInput, side_name
from genarm.types import Message, Response, Scorecard, Side, Verdict

EXTREMES = 3  # best and worst cases of a dimension
LEVELS = (0.5, 1.0, 2.0)  # nats from which guidance is shown, more strongly each time

Word = Literal["win", "loss", "tie", "unread"]
WORDS: tuple[Word, ...] = ("loss", "tie", "win")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a judge said of an answer against a rival's; scores are this answer's and the rival's."""

    dimension: str
    rival: Side
    word: Word
    preference: float | None
    scores: tuple[float, float] | None
    held_out: bool = False

    @property
    def on(self) -> str:
        """What was judged and, where it was the second judge, that it was."""
        return f"{self.dimension} (held-out judge)" if self.held_out else self.dimension


@dataclass(frozen=True, slots=True)
class Span:
    """Text that guidance moved alike: -3 to 3, from lowered by two nats a token to raised by two."""

    text: str
    level: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What one side answered, and what was said of it. `spans` are there where guidance was noted."""

    name: str
    side: Side
    dimension: str | None  # None for the base, which answers for all
    text: str
    tokens: int
    cut: bool
    spans: Sequence[Span]
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt with all answers; `gains` is by how much a challenger leads its rival, by dimension."""

    number: int
    id: str
    messages: Sequence[Message]
    answers: Sequence[Answer]
    gains: Mapping[str, float]

    def answer(self, dimension: str, side: Side) -> Answer:
        """What one side answered."""
        name = side_name(dimension, side)
        return next(a for a in self.answers if a.name == name)


@dataclass(frozen=True, slots=True)
class Extremes:
    """The cases in which a challenger gained and lost most against its rival, the largest first."""

    dimension: str
    rival: Side
    best: Sequence[Case]
    worst: Sequence[Case]


def all_cases(given: ReportInput) -> list[Case]:
    """Every prompt that was answered, by its id: a hash, so the order does not depend on the answers."""
    answers: dict[str, dict[str, Answer]] = {}
    said = {d: _by_prompt_and_side(rows) for d, rows in given.verdicts.items()}
    for dimension, sides in given.responses.items():
        for side in SIDES:
            for row in sides.get(side, ()):
                marks = [_mark(v) for v in said.get(dimension, {}).get((row.prompt_id, side), ())]
                answer = _answer(dimension, side, row, marks)
                answers.setdefault(row.prompt_id, {}).setdefault(answer.name, answer)
    rivals = {s.dimension: s.rival for s in given.scorecards}
    asked = sorted((p for p in given.prompts if p.id in answers), key=lambda p: p.id)
    return [
        Case(i, p.id, p.messages, list(answers[p.id].values()), _gains(list(answers[p.id].values()), rivals))
        for i, p in enumerate(asked, start=1)
    ]


def extremes(cases: Sequence[Case], card: Scorecard) -> Extremes:
    """The largest gains and losses of one challenger; equal ones in the order of the cases."""
    of_this = [(c.gains[card.dimension], c) for c in cases if card.dimension in c.gains]
    ranked = sorted(of_this, key=lambda item: (-item[0], item[1].number))
    best = [case for gain, case in ranked[:EXTREMES] if gain > 0]
    worst = [case for gain, case in sorted(ranked, key=lambda item: (item[0], item[1].number)) if gain < 0]
    return Extremes(card.dimension, card.rival, best, worst[:EXTREMES])


def spans(row: Response) -> list[Span]:
    """The text of a response in stretches that guidance moved alike; empty where that was not noted."""
    found: list[Span] = []
    start = 0
    for characters, nats in row.guidance or ():
        text = row.text[start : start + characters]
        start += characters
        level = sum(abs(nats) >= least for least in LEVELS) * (1 if nats > 0 else -1)
        if text and found and found[-1].level == level:
            found[-1] = Span(found[-1].text + text, level)
        elif text:
            found.append(Span(text, level))
    if found and start < len(row.text):
        found.append(Span(row.text[start:], 0))
    return found


def _answer(dimension: str, side: Side, row: Response, marks: Sequence[Mark]) -> Answer:
    name, of = side_name(dimension, side), None if side == "base" else dimension
    return Answer(name, side, of, row.text, row.tokens, row.finish_reason == "length", spans(row), marks)


def _by_prompt_and_side(rows: Sequence[Verdict]) -> dict[tuple[str, Side], list[Verdict]]:
    found: dict[tuple[str, Side], list[Verdict]] = {}
    for verdict in rows:
        found.setdefault((verdict.prompt_id, verdict.left), []).append(verdict)
    return found


def _mark(verdict: Verdict) -> Mark:
    preference = verdict.preference
    word: Word = "unread"
    if preference is not None:
        word = WORDS[1 + (preference > TIE) - (preference < -TIE)]
    return Mark(verdict.dimension, verdict.right, word, preference, verdict.scores, verdict.held_out)


def _gains(answers: Sequence[Answer], rivals: Mapping[str, Side]) -> dict[str, float]:
    """By how much each challenger leads on its own dimension: in scores, or in preference without them."""
    gains = {}
    for answer in answers:
        for mark in answer.marks:
            dimension = answer.dimension
            if answer.side != "challenger" or mark.dimension != dimension or mark.preference is None:
                continue
            if not mark.held_out and mark.rival == rivals.get(dimension):
                gains[dimension] = mark.scores[0] - mark.scores[1] if mark.scores else mark.preference
    return gains

"""A judge on preference pairs: what it says of each, asked in both orders."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from genarm.judges.base import Judge, PreparedJudge, preference
from genarm.judges.statistics import Games
from genarm.types import PreferencePair, Prompt, Response


@runtime_checkable
class TwoOrderJudge(Protocol):
    """A judge that asks in both orders by itself, and keeps what each of them said."""

    def games(self, prompt: Prompt, left: Response, right: Response) -> Games:
        """What both orders said of two responses."""


def in_both_orders(judge: Judge, pairs: Sequence[PreferencePair]) -> list[Games]:
    """What a judge says of each pair, the chosen response being the left one.

    One that asks in both orders by itself is asked once, any other twice; one that compares scores says the
    opposite the second time. Raises JudgeError where it fails.
    """
    asked = [(pair.prompt, _response(pair, pair.chosen), _response(pair, pair.rejected)) for pair in pairs]
    if isinstance(judge, TwoOrderJudge):
        if isinstance(judge, PreparedJudge):
            judge.prepare(asked)
        return [judge.games(*comparison) for comparison in asked]
    turned = [(prompt, right, left) for prompt, left, right in asked]
    if isinstance(judge, PreparedJudge):
        judge.prepare([*asked, *turned])
    return [
        Games(preference(judge, *one), _minus(preference(judge, *other)))
        for one, other in zip(asked, turned, strict=True)
    ]


def _minus(said: float | None) -> float | None:
    return None if said is None else -said


def _response(pair: PreferencePair, text: str) -> Response:
    """A text as a judge gets it; what decoding measures of a response is not known of it."""
    return Response(pair.prompt.id, text, len(text.split()), "stop", 0.0, 0.0)

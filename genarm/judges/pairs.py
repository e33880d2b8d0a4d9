"""A judge on preference pairs: what it says of each, asked in both orders."""

from collections.abc import Sequence

from genarm.judges.base import Judge, PreparedJudge, preference
from genarm.types import PreferencePair, Response

Answers = tuple[float | None, float | None]


def in_both_orders(judge: Judge, pairs: Sequence[PreferencePair]) -> list[Answers]:
    """Its preference for the response shown first: with the chosen one first, then with the rejected one.

    A judge that scores, or that asks in both orders by itself, says the opposite the second time. Raises
    JudgeError where it fails.
    """
    asked = [(pair.prompt, _response(pair, pair.chosen), _response(pair, pair.rejected)) for pair in pairs]
    turned = [(prompt, right, left) for prompt, left, right in asked]
    if isinstance(judge, PreparedJudge):
        judge.prepare([*asked, *turned])
    return [
        (preference(judge, *one), preference(judge, *other)) for one, other in zip(asked, turned, strict=True)
    ]


def _response(pair: PreferencePair, text: str) -> Response:
    """A text as a judge gets it; what decoding measures of a response is not known of it."""
    return Response(pair.prompt.id, text, len(text.split()), "stop", 0.0, 0.0)

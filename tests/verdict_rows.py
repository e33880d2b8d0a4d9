"""Rows that the tests of evaluation share: verdicts by preference, and short responses."""

from genarm.types import Response, Side, Verdict


def verdicts(*preferences: float | None, dimension: str = "plain", right: Side = "base") -> list[Verdict]:
    return [Verdict(f"p{i:03}", dimension, "challenger", right, p) for i, p in enumerate(preferences)]


def response(prompt: str, text: str = "yes", tokens: int = 2, logprob: float = -2.0) -> Response:
    return Response(prompt, text, tokens, "stop", logprob, 0.1)

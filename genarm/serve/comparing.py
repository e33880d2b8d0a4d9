"""Two responses to one prompt, of which nobody can tell which is guided; and what is told after the vote."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, cast

from genarm.feedback.comparison import Answer, Comparison, Vote
from genarm.feedback.store import Store
from genarm.serve.compare_body import CHAMPION, CompareBody
from genarm.serve.errors import ApiError
from genarm.serve.lineup import BASE, Lineup
from genarm.serve.service import Asked, Service

SEED_BITS = 53  # JSON readers keep such numbers whole


async def compare(service: Service, store: Store, body: CompareBody, key: str) -> Comparison:
    """Answer from both sides, deal them to A and B by chance, and keep that.

    Raises ApiError for what cannot be answered, and what the store raises.
    """
    base = service.lineup.base_id
    seed = secrets.randbits(SEED_BITS - 1)
    with ExitStack() as held:
        asked: list[Asked] = []
        for i, (lineup, weights) in enumerate(_sides(service, body)):  # both before a promotion can come
            asked.append(service.begin(body.chat(weights, seed + i), lineup=lineup))
            held.callback(asked[-1].end)
        for result in await asyncio.gather(*map(service.whole, asked), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
    guided, other = map(_answer, asked)
    side = "ab"[secrets.randbits(1)]
    now = store.clock()
    comparison = Comparison(
        id=secrets.token_hex(16),
        key=key,
        user=body.user,
        dimension=body.dimension,
        prompt=[{"role": m.message().role, "content": m.message().content} for m in body.conversation],
        a=guided if side == "a" else other,
        b=other if side == "a" else guided,
        guided=cast(Any, side),
        sampling=_sampling(service, body),
        base=base,
        consent=body.consent,
        created=now,
        expires=now + store.config.expires * 3600,
    )
    await asyncio.to_thread(store.ask, comparison)
    return comparison


def _sides(service: Service, body: CompareBody) -> Sequence[tuple[Lineup, Mapping[str, float] | None]]:
    """What answers on the guided side and on the other, and at which weights; None are those of its versions.

    Where a challenger of the dimension is on trial, chance gives a share of the comparisons to it and the
    champion. Raises ApiError for what is not served.
    """
    served = service.lineup.arms
    body.check_served(weights := {dimension: arm.champion.weight for dimension, arm in served.items()})
    running = service.running
    trial = running if running and not running.why and running.trial.dimension == body.dimension else None
    if body.against == CHAMPION and trial is None:
        raise ApiError(409, f"no version of {body.dimension!r} is on trial", param="against", code="no_trial")
    any_will_do = body.against is None and body.weight is None
    if trial and (body.against == CHAMPION or (any_will_do and _chance() < trial.rule.compared)):
        return [(trial.sides["challenger"], None), (trial.sides["champion"], None)]
    return [(service.lineup, of_side) for of_side in body.sides(weights)]


def _chance() -> float:
    """A random number in [0, 1) that no client can foresee."""
    return secrets.randbits(SEED_BITS) / (1 << SEED_BITS)


def shown(comparison: Comparison) -> dict[str, Any]:
    """What a person is shown: the same whichever side is guided."""
    return {
        "id": comparison.id,
        "object": "comparison",
        "dimension": comparison.dimension,
        "created": int(comparison.created),
        "expires": int(comparison.expires),
        "a": {"text": comparison.a.text},
        "b": {"text": comparison.b.text},
    }


def revealed(comparison: Comparison, choice: str) -> dict[str, Any]:
    """What is told after the vote."""
    vote = Vote(0, comparison, cast(Any, choice), "", 0.0)
    return {
        "id": comparison.id,
        "object": "vote",
        "choice": choice,
        "preferred": vote.preferred,
        "a": _side(comparison, "a"),
        "b": _side(comparison, "b"),
    }


def _answer(asked: Asked) -> Answer:
    form, response = asked.form, asked.choices[0].response
    assert response is not None
    return Answer(response.text, form.told["weights"], dict(form.guide.versions), form.seed)


def _side(comparison: Comparison, side: str) -> dict[str, Any]:
    answer: Answer = comparison.a if side == "a" else comparison.b
    return {
        "side": "guided" if comparison.guided == side else "other",
        "model": "guided" if answer.versions else BASE,
        "versions": dict(answer.versions),
        "weights": dict(answer.weights),
        "seed": answer.seed,
    }


def _sampling(service: Service, body: CompareBody) -> Mapping[str, Any]:
    """The settings that both sides were drawn with, whoever set them."""
    settings = service.settings
    return {
        "temperature": settings.temperature if body.temperature is None else body.temperature,
        "top_p": settings.top_p if body.top_p is None else body.top_p,
        "top_k": settings.top_k if body.top_k is None else body.top_k,
        "max_tokens": settings.max_tokens if body.max_tokens is None else body.max_tokens,
    }

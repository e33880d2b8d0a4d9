"""Two responses to one prompt, of which nobody can tell which is guided; and what is told after the vote."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

from genarm.feedback.comparison import Answer, Comparison, Vote
from genarm.feedback.store import Store
from genarm.serve.canary import RunningTrial, SideName
from genarm.serve.compare_body import CHAMPION, CompareBody
from genarm.serve.errors import ApiError
from genarm.serve.lineup import BASE, Lineup
from genarm.serve.service import Asked, Service

SEED_BITS = 53  # JSON readers keep such numbers whole


@dataclass(frozen=True, slots=True)
class Side:
    """What answers on one side, and at which weights; None are those of its versions."""

    lineup: Lineup
    weights: Mapping[str, float] | None
    name: SideName | None = None  # in a trial


async def compare(service: Service, store: Store, body: CompareBody, key: str) -> Comparison:
    """Answer from both sides, deal them to A and B by chance, and keep that.

    Raises ApiError for what cannot be answered, and what the store raises.
    """
    running = service.running
    lineup = running.sides["champion"] if running else service.lineup  # one, though a swap may come between
    trial = _trial(running, lineup, body)
    sides = _in_trial(trial) if trial else _usual(lineup, body)
    seed = secrets.randbits(SEED_BITS - 1)
    with ExitStack() as held:
        asked: list[Asked] = []
        for i, side in enumerate(sides):
            asked.append(service.begin(body.chat(side.weights, seed + i), lineup=side.lineup))
            held.callback(asked[-1].end)
        results = await asyncio.gather(*map(service.whole, asked), return_exceptions=True)
        for side, one in zip(sides, asked, strict=True):
            if trial and side.name:
                seconds = time.monotonic() - one.began
                trial.count(side.name, one.choices[0].response, seconds, one.failed)
        for result in results:
            if isinstance(result, BaseException):
                raise result
    guided, other = (_answer(one, trial.trial.key if trial else "") for one in asked)
    side_of_guided = "ab"[secrets.randbits(1)]
    now = store.clock()
    comparison = Comparison(
        id=secrets.token_hex(16),
        key=key,
        user=body.user,
        dimension=body.dimension,
        prompt=[{"role": m.message().role, "content": m.message().content} for m in body.conversation],
        a=guided if side_of_guided == "a" else other,
        b=other if side_of_guided == "a" else guided,
        guided=cast(Any, side_of_guided),
        sampling=_sampling(service, body),
        base=lineup.base_id,
        consent=body.consent,
        created=now,
        expires=now + store.config.expires * 3600,
    )
    await asyncio.to_thread(store.ask, comparison)
    return comparison


def _trial(running: RunningTrial | None, lineup: Lineup, body: CompareBody) -> RunningTrial | None:
    """The trial in which both sides are compared: where the body asks for it, or in a share by chance.

    Raises ApiError for a dimension that is not served, and where a trial is asked for that there is not.
    """
    body.check_served(_weights(lineup))
    trial = running if running and not running.why and running.trial.dimension == body.dimension else None
    if body.against == CHAMPION and trial is None:
        raise ApiError(409, f"no version of {body.dimension!r} is on trial", param="against", code="no_trial")
    any_will_do = body.against is None and body.weight is None
    if trial and (body.against == CHAMPION or (any_will_do and _chance() < trial.rule.compared)):
        return trial
    return None


def _in_trial(trial: RunningTrial) -> Sequence[Side]:
    names: tuple[SideName, SideName] = ("challenger", "champion")
    return [Side(trial.sides[name], None, name) for name in names]


def _usual(lineup: Lineup, body: CompareBody) -> Sequence[Side]:
    return [Side(lineup, weights) for weights in body.sides(_weights(lineup))]


def _weights(lineup: Lineup) -> dict[str, float]:
    """The weights of the champions."""
    return {d: arm.champion.weight for d, arm in lineup.arms.items() if not arm.trial}


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
    """What is told after the vote; in a trial not which side was which: nobody is to learn to tell them."""
    kept = {"id": comparison.id, "object": "vote", "choice": choice}
    if comparison.trial:
        return {**kept, "preferred": None, "a": None, "b": None}
    vote = Vote(0, comparison, cast(Any, choice), "", 0.0)
    return {
        **kept,
        "preferred": vote.preferred,
        "a": _side(comparison, "a"),
        "b": _side(comparison, "b"),
    }


def _answer(asked: Asked, trial: str) -> Answer:
    form, response = asked.form, asked.choices[0].response
    assert response is not None
    return Answer(response.text, form.told["weights"], dict(form.guide.versions), form.seed, trial=trial)


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

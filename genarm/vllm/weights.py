"""The weights of a vLLM request, as its `vllm_xargs` say them.

{"guidance.sum.positive": 0.3}          log p_base + 0.3 log p_positive
{"guidance.contrast.plain": 0.5}        log p_base + 0.5 (log p_plain - log p_base)
{"guidance.rewards": 1}                 tell the rewards of each token drawn (`rewards.py`)
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vllm import SamplingParams

from genarm.errors import RequestError

PREFIX = "guidance."
KINDS = ("sum", "contrast")
REWARDS = "guidance.rewards"
MEASURES = 3  # of a token, before one for each ARM: base, guided, KL
MOST = 1e6

_known: set[str] = set()


def known_arms(names: Iterable[str]) -> None:
    """Note the ARMs of an engine of this process: requests are checked before any model sees them."""
    _known.update(names)


def request_weights(params: SamplingParams) -> dict[str, tuple[str, float]]:
    """By ARM, `sum` or `contrast` and the weight.

    Raises RequestError, which vLLM's server answers with 400, for what cannot be understood.
    """
    weights: dict[str, tuple[str, float]] = {}
    for key, value in _arguments(params).items():
        if key == REWARDS:
            continue
        kind, _, name = key.removeprefix(PREFIX).partition(".")
        if kind not in KINDS or not name:
            raise RequestError(
                f"vllm_xargs has {key!r}", hint='write {"guidance.sum.positive": 0.3}, or guidance.contrast.'
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
            raise RequestError(
                f"weight of ARM {name!r} is {value!r}", hint=f"weights are numbers from 0 to {MOST:g}"
            )
        if name in weights:
            raise RequestError(f"ARM {name!r} has two weights", hint="guide by its sum or by its contrast")
        weights[name] = kind, float(value)
    return weights


def tells_rewards(params: SamplingParams) -> bool:
    """Whether a request is told the rewards of its tokens."""
    return bool(_arguments(params).get(REWARDS))


def check_weights(params: SamplingParams) -> None:
    """Raise RequestError for weights that cannot be understood or name an ARM that no engine here has.

    And for rewards without so many likeliest tokens that they could be told among them.
    """
    if tells_rewards(params) and (params.logprobs or 0) < (least := MEASURES + len(_known)):
        raise RequestError(
            f"{REWARDS} with logprobs {params.logprobs}", hint=f"they take the place of {least} of them"
        )
    for name in request_weights(params):
        if name not in _known:
            raise RequestError(
                f"ARM {name!r} is not loaded", hint=f"loaded ARMs: {', '.join(sorted(_known)) or 'none'}"
            )


def coefficients(params: SamplingParams, names: Sequence[str]) -> list[float] | None:
    """What is added: so many times the base's row and those of these ARMs; None for an unguided request.

    Then 1 for a request that is told the rewards, else 0.
    """
    weights, told = request_weights(params), tells_rewards(params)
    if not told and not any(weight for _, weight in weights.values()):
        return None
    row = no_coefficients(names)
    for name, (kind, weight) in weights.items():
        row[1 + names.index(name)] = weight
        if kind == "contrast":
            row[0] -= weight
    row[-1] = float(told)
    return row


def no_coefficients(names: Sequence[str]) -> list[float]:
    """Those of a request that is neither guided nor told anything."""
    return [0.0] * (1 + len(names) + 1)


def _arguments(params: SamplingParams) -> Mapping[str, Any]:
    return {key: value for key, value in (params.extra_args or {}).items() if key.startswith(PREFIX)}

"""The weights of a vLLM request, as its `vllm_xargs` say them.

{"guidance.sum.positive": 0.3}          log p_base + 0.3 log p_positive
{"guidance.contrast.plain": 0.5}        log p_base + 0.5 (log p_plain - log p_base)
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vllm import SamplingParams

from genarm.errors import RequestError

PREFIX = "guidance."
KINDS = ("sum", "contrast")
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


def check_weights(params: SamplingParams) -> None:
    """Raise RequestError for weights that cannot be understood or name an ARM that no engine here has."""
    for name in request_weights(params):
        if name not in _known:
            raise RequestError(
                f"ARM {name!r} is not loaded", hint=f"loaded ARMs: {', '.join(sorted(_known)) or 'none'}"
            )


def coefficients(params: SamplingParams, names: Sequence[str]) -> list[float] | None:
    """What is added: so many times the base's row and those of these ARMs; None for an unguided request."""
    weights = request_weights(params)
    if not any(weight for _, weight in weights.values()):
        return None
    row = [0.0] * (1 + len(names))
    for name, (kind, weight) in weights.items():
        row[1 + names.index(name)] = weight
        if kind == "contrast":
            row[0] -= weight
    return row


def _arguments(params: SamplingParams) -> Mapping[str, Any]:
    return {key: value for key, value in (params.extra_args or {}).items() if key.startswith(PREFIX)}

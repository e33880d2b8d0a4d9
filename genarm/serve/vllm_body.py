"""The bodies that this server takes, as vLLM's own server takes them: `guidance` becomes `vllm_xargs`.

Runs in vLLM's environment; what is served at the start is told by the environment variable GENARM_SERVED.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, Field

from genarm.serve.body import read_body
from genarm.serve.errors import invalid
from genarm.serve.lineup import Guide, Lineup, ServedArm
from genarm.types import Champion

if TYPE_CHECKING:
    from genarm.decoding.engine.engine import Engine

SERVED = "GENARM_SERVED"


class NamedBody(BaseModel):
    """What this server must know of a body; of the rest vLLM says what it takes."""

    model: str = Field(max_length=200)


def write_served(base_id: str, arms: Mapping[str, ServedArm]) -> str:
    """What is served, for the environment of vLLM's server."""
    told = {d: {"champion": asdict(arm.champion), "pinned": arm.pinned} for d, arm in arms.items()}
    return json.dumps({"base": base_id, "arms": told})


def read_served(text: str) -> Lineup:
    """What `write_served` wrote; vLLM decodes, and the lineup says what guides."""
    told = json.loads(text)
    arms = {
        dimension: ServedArm(dimension, Champion(**arm["champion"]), pinned=arm["pinned"])
        for dimension, arm in told["arms"].items()
    }
    return Lineup(cast("Engine", None), told["base"], arms, {"engine": "vllm"})


@dataclass(frozen=True, slots=True)
class VllmBody:
    """A body as vLLM takes it, what guides it, for how many responses it asks, and whether for rewards."""

    fields: dict[str, Any]
    guide: Guide
    responses: int
    tells_rewards: bool

    @property
    def content(self) -> bytes:
        """Its bytes."""
        return json.dumps(self.fields).encode()


def as_vllm_takes_it(body: bytes, lineup: Lineup) -> VllmBody:
    """A body with the weights of its model or its own.

    Raises ApiError for a body without a model, which vLLM would take for one that asks the base, for weights
    that cannot be served, and for beam search, which vLLM does by requests of its own, without weights.
    """
    model = read_body(NamedBody, body).model
    fields: dict[str, Any] = json.loads(body) | {"model": model}
    if not isinstance(told := fields.pop("guidance_rewards", None) or False, bool):
        raise invalid("guidance_rewards is neither true nor false", "guidance_rewards")
    found = lineup.guide(model, _weights(fields.pop("guidance", None)))
    if fields.get("use_beam_search") and (found.versions or told):
        raise invalid("beam search is not guided: draw, or ask the model base", "use_beam_search")
    more = fields.get("vllm_xargs") or {}
    if not isinstance(more, dict):
        raise invalid("vllm_xargs is no object", "vllm_xargs")
    if own := next((name for name in more if str(name).startswith("guidance.")), None):
        raise invalid(f"vllm_xargs has {own[:80]!r}: name weights in guidance", "vllm_xargs")
    weights = {f"guidance.{found.guidance[d]}.{d}": weight for d, weight in found.weights.items() if weight}
    return VllmBody(fields | {"vllm_xargs": more | weights}, found, _responses(fields), told)


def _responses(fields: dict[str, Any]) -> int:
    """`n` times the prompts, of a body that vLLM has taken."""
    prompt, n = fields.get("prompt"), fields.get("n")
    several = isinstance(prompt, list) and not all(isinstance(part, int) for part in prompt)
    return (n if isinstance(n, int) else 1) * (len(prompt) if isinstance(prompt, list) and several else 1)


def _weights(asked: Any) -> dict[str, float] | None:
    """The weights of a body. Raises ApiError for what is no object of finite numbers of at least 0."""
    if asked is None:
        return None
    if not isinstance(asked, dict):
        raise invalid("guidance is no object of weights by dimension", "guidance")
    for dimension, weight in asked.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1e6:
            raise invalid(f"guidance.{dimension[:80]} is no number from 0 to 1000000", "guidance")
    return {dimension: float(weight) for dimension, weight in asked.items()}

"""The bodies that this server takes, as vLLM's own server takes them: `guidance` becomes `vllm_xargs`.

Middleware of vLLM's server, which runs in vLLM's environment; what is served is told by the environment
variable GENARM_SERVED.
"""

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genarm.serve.errors import ApiError, invalid
from genarm.serve.lineup import Lineup, ServedArm
from genarm.types import Champion

if TYPE_CHECKING:
    from genarm.decoding.engine.engine import Engine

SERVED = "GENARM_SERVED"
PATHS = ("/v1/chat/completions", "/v1/completions")


def write_served(base_id: str, arms: Mapping[str, ServedArm]) -> str:
    """What is served, for the environment of vLLM's server."""
    told = {d: [arm.champion.version, arm.champion.weight, arm.champion.guidance] for d, arm in arms.items()}
    return json.dumps({"base": base_id, "arms": told})


def read_served(text: str) -> Lineup:
    """What `write_served` wrote; vLLM decodes, and the lineup says what guides."""
    told = json.loads(text)
    arms = {
        dimension: ServedArm(dimension, Champion(version, told["base"], "", weight, guidance))
        for dimension, (version, weight, guidance) in told["arms"].items()
    }
    return Lineup(cast("Engine", None), told["base"], arms)


def as_vllm_takes_it(body: bytes, lineup: Lineup) -> bytes:
    """A body with the weights of its model or its own. Raises ApiError for weights that cannot be served.

    What is no JSON object with a model is left to vLLM, which refuses it.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(fields, dict) or not isinstance(fields.get("model"), str):
        return body
    if fields.pop("guidance_rewards", False):
        raise invalid(
            "guidance_rewards is not told by vLLM; the built-in engine tells them", "guidance_rewards"
        )
    found = lineup.guide(fields["model"], _weights(fields.pop("guidance", None)))
    more = fields.get("vllm_xargs") or {}
    if not isinstance(more, dict):
        raise invalid("vllm_xargs is no object", "vllm_xargs")
    weights = {f"guidance.{found.guidance[d]}.{d}": weight for d, weight in found.weights.items() if weight}
    return json.dumps(fields | {"vllm_xargs": more | weights}).encode()


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


class GuidanceField:
    """Translates the bodies of completions, and answers those that it refuses."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.lineup = app, read_served(os.environ[SERVED])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in PATHS:
            await self.app(scope, receive, send)
            return
        parts, more = [], True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        try:
            body = as_vllm_takes_it(b"".join(parts), self.lineup)
        except ApiError as error:
            await JSONResponse(error.body(), error.status)(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        scope = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
        sent = False

        async def translated() -> Message:
            nonlocal sent
            if sent:  # from now on the client can only go away
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, translated, send)

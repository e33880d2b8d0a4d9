"""What vLLM's server has not: `GET /ready` and `GET /v1/arms`, as the built-in engine tells them."""

import logging
from typing import Any

from starlette.responses import JSONResponse

from genarm.serve.arms import described_arms
from genarm.serve.vllm_swap import Swapper

READY, ARMS = "/ready", "/v1/arms"

log = logging.getLogger(__name__)


async def told(path: str, swapper: Swapper) -> JSONResponse:
    """The answer at one of the two addresses."""
    if path == ARMS:
        return JSONResponse(_arms(swapper))
    try:
        await swapper.state.engine_client.check_health()
    except Exception as error:  # vLLM's own, which cannot be imported everywhere
        log.warning("the engine is not well: %s", type(error).__name__)
        return JSONResponse({"status": "dead"}, 503)
    return JSONResponse({"status": "ready"})


def _arms(swapper: Swapper) -> dict[str, Any]:
    """`max_tokens` is null where a response may fill the context."""
    config = swapper.state.vllm_config.model_config
    sampling = config.get_diff_sampling_param()
    defaults = {
        "temperature": sampling.get("temperature", 1.0),
        "max_tokens": sampling.get("max_tokens"),
    }
    return described_arms(
        swapper.lineup, swapper.refused, trial=False, context=config.max_model_len, defaults=defaults
    )

"""What vLLM's server has not: `GET /ready`, `GET /v1/arms` and the page, as the built-in engine has them."""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genarm.serve.arms import described_arms
from genarm.serve.page_routes import FOLDER, INDEX, PageFile, read_files, sent
from genarm.serve.vllm_swap import Swapper

READY, ARMS = "/ready", "/v1/arms"
PAGE, PARTS = "/", "/page/"

log = logging.getLogger(__name__)


def is_ours(path: str) -> bool:
    """Whether this is one of the addresses."""
    return path in (READY, ARMS, PAGE) or path.startswith(PARTS)


async def told(path: str, swapper: Swapper, request: Request) -> Response:
    """The answer at one of the addresses. Raises ApiError for a part that the page has not."""
    if path == PAGE or path.startswith(PARTS):
        return sent(_page(), request, path.removeprefix(PARTS) if path != PAGE else INDEX)
    if path == ARMS:
        return JSONResponse(_arms(swapper))
    try:
        await swapper.state.engine_client.check_health()
    except Exception as error:  # vLLM's own, which cannot be imported everywhere
        log.warning("the engine is not well: %s", type(error).__name__)
        return JSONResponse({"status": "dead"}, 503)
    return JSONResponse({"status": "ready"})


@cache
def _page() -> Mapping[str, PageFile]:
    return read_files(FOLDER)


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

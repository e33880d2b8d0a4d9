"""Whether a language model can be asked: package, key, template, and a server that answers, for nothing."""

from pathlib import Path

from genarm.config.judge import LlmJudgeConfig
from genarm.errors import JudgeError
from genarm.judges.llm.access import NO_KEY, Access, access
from genarm.judges.llm.prompt import load_question

PATIENCE = 5.0  # seconds


def check_llm(config: LlmJudgeConfig, root: Path | None = None) -> None:
    """Raise JudgeError with the first thing that lacks. No completion is asked for: it would cost money."""
    load_question(config, root)
    _check_server(access(config))


def _check_server(access: Access) -> None:
    """Ask for the list of models. A server without one answers, too; a refused key is an error."""
    import httpx

    headers = {} if access.key == NO_KEY else {"Authorization": f"Bearer {access.key}"}
    try:
        answer = httpx.get(f"{access.url}/models", headers=headers, timeout=PATIENCE)
    except httpx.TimeoutException:
        raise JudgeError(
            f"{access.url} does not answer within {PATIENCE:g} s", hint="start the server, or look at its log"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise JudgeError(
            f"{access.url} cannot be reached: {access.shown(error)}",
            hint="start the server, or correct `base_url`",
        ) from None
    if answer.status_code in (401, 403):
        way = f"check the key in {access.variable}" if access.variable else "name its variable in `key`"
        raise JudgeError(f"{access.url} refuses the key: {answer.status_code}", hint=way)

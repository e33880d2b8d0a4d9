"""Whether a language model can be asked: package, key, template, a server that answers, a model that it has.

Where the server lists the model, that is known for nothing. Otherwise one short answer is asked for, since
some servers list nothing, or take names that they do not list.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.config import nearest
from genarm.config.judge import LlmJudgeConfig
from genarm.errors import JudgeError
from genarm.judges.llm.access import NO_KEY, Access, access
from genarm.judges.llm.failures import MAY_PASS
from genarm.judges.llm.prompt import load_question
from genarm.judges.llm.verdict import Form

if TYPE_CHECKING:
    import httpx

PATIENCE = 5.0  # seconds
SHOWN = 8  # names of models
ASKED = "Reply with the letter A."


def check_llm(config: LlmJudgeConfig, root: Path | None = None) -> None:
    """Raise JudgeError with the first thing that lacks; of an unknown model, with those that there are."""
    load_question(config, root)
    found = access(config)
    listed = _listed(found)
    if config.model not in listed:
        _check_answer(config, found, listed)


def _listed(access: Access) -> list[str]:
    """The models that a server lists; none where it has no list, or the key may not read it."""
    import httpx

    try:
        answer = httpx.get(f"{access.url}/models", headers=_headers(access), timeout=PATIENCE)
    except httpx.TimeoutException:
        raise JudgeError(
            f"{access.url} does not answer within {PATIENCE:g} s", hint="start the server, or look at its log"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise JudgeError(
            f"{access.url} cannot be reached: {access.shown(error)}",
            hint="start the server, or correct `base_url`",
        ) from None
    if answer.status_code == 401:
        raise _refused_key(access, answer.status_code)
    data = _json(answer).get("data") if answer.is_success else None
    rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    return sorted({row["id"] for row in rows if isinstance(row.get("id"), str)})


def _check_answer(config: LlmJudgeConfig, access: Access, listed: list[str]) -> None:
    """Ask for one short answer, as the judge would. Only a refusal is an error: the rest may pass."""
    import httpx

    from genarm.judges.llm.client import parameters

    form: Form = "logprobs" if config.verdict == "logprobs" else "text"
    asked = {"model": config.model, "messages": [{"role": "user", "content": ASKED}]}
    try:
        answer = httpx.post(
            f"{access.url}/chat/completions",
            headers=_headers(access),
            json=asked | parameters(config, form),
            timeout=PATIENCE,
        )
    except (httpx.HTTPError, OSError):
        return  # it may be loading the model
    if answer.status_code in (401, 403):
        raise _refused_key(access, answer.status_code)
    if not answer.is_client_error or answer.status_code in MAY_PASS:
        return
    names = ", ".join(map(access.shown, listed[:SHOWN]))
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    there = f"it has {names}{more}" if listed else "it lists no models"
    raise JudgeError(
        f"{access.url} refuses model {config.model!r}{nearest(config.model, listed)}: "
        f"{answer.status_code} {_told(access, answer)}; {there}",
        hint="correct `model`"
        if listed
        else "correct `model`, or `base_url`, which is the part before /chat/completions",
    )


def _headers(access: Access) -> dict[str, str]:
    return {} if access.key == NO_KEY else {"Authorization": f"Bearer {access.key}"}


def _refused_key(access: Access, status: int) -> JudgeError:
    way = f"check the key in {access.variable}" if access.variable else "name its variable in `key`"
    return JudgeError(f"{access.url} refuses the key: {status}", hint=way)


def _json(answer: "httpx.Response") -> dict[str, Any]:
    """The body as a mapping; an empty one where it is none."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _told(access: Access, answer: "httpx.Response") -> str:
    """The server's own words, where its body has the usual form, without secrets."""
    error = _json(answer).get("error")
    words = error.get("message") if isinstance(error, dict) else error
    return access.shown(words if isinstance(words, str) else answer.reason_phrase)

"""Which failures of a server may pass by themselves, and what to do about the others."""

from json import JSONDecodeError

import openai
from pydantic import ValidationError

from genarm.errors import JudgeError
from genarm.judges.llm.access import Access
from genarm.system.retry_after import retry_after

LONGEST_WAIT = 300.0  # seconds; a server that asks for more is out of order for this run
MAY_PASS = (408, 409, 425, 429)
_NEVER_PASS = ("insufficient_quota", "billing_hard_limit_reached")
_REFUSED_TEXT = ("content_filter", "content_policy_violation")


class Garbled(Exception):
    """A server said yes, and sent something that is no completion."""


class Declined(JudgeError):
    """A server that does not take a request of this form, and might take another."""


def pause(error: Exception) -> bool | float:
    """Whether a request is repeated: no, yes, or yes after so many seconds, which the server asked for."""
    if isinstance(error, Garbled | JSONDecodeError | ValidationError):
        return True  # a proxy's page, or an answer that was cut
    if isinstance(error, openai.APIStatusError):
        if not (error.status_code in MAY_PASS or error.status_code >= 500) or _code(error) in _NEVER_PASS:
            return False
        asked = retry_after(error.response.headers.get("retry-after", ""))
        return True if asked is None else (asked if asked <= LONGEST_WAIT else False)
    return isinstance(error, openai.APIConnectionError | TimeoutError)


def refuses_text(error: Exception) -> bool:
    """Whether a filter of the server refused these texts: the comparison cannot be read, others can."""
    return isinstance(error, openai.APIStatusError) and _code(error) in _REFUSED_TEXT


def explained(error: Exception, access: Access, model: str, tries: int) -> JudgeError:
    """The error for the user: what the server said, without secrets, and what to do."""
    often = "once" if tries == 1 else f"{tries} times"
    kept = "answers read so far are kept, so run again: only the others are asked for"
    if isinstance(error, openai.APIStatusError):
        said = f"{error.status_code} {access.shown(_message(error))}"
        if pause(error) is not False:
            return JudgeError(
                f"{access.url} failed {often}, last with: {said}",
                hint=f"{kept}; lower `concurrency` or raise `retries` if it is busy",
            )
        kind = Declined if error.status_code in (400, 422, 501) else JudgeError
        return kind(f"{access.url} refuses model {model!r}: {said}", hint=_way_out(error, access))
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return JudgeError(
            f"{access.url} did not answer in time, asked {often}", hint=f"raise `timeout`; {kept}"
        )
    if isinstance(error, openai.APIConnectionError):
        cause = access.shown(error.__cause__ or error)
        return JudgeError(
            f"{access.url} cannot be reached, tried {often}: {cause}",
            hint=f"start the server, or correct `base_url`; {kept}",
        )
    if isinstance(error, Garbled | JSONDecodeError | ValidationError):
        told = access.shown(error) if isinstance(error, Garbled) else "no JSON of a completion"
        return JudgeError(
            f"{access.url} answered {often} with something that is no chat completion: {told}",
            hint="base_url is the part before /chat/completions, such as http://localhost:8000/v1",
        )
    return JudgeError(f"{access.url}: {type(error).__name__}: {access.shown(error)}", hint=kept)


def _way_out(error: openai.APIStatusError, access: Access) -> str:
    if error.status_code in (401, 403):
        if access.variable is None:
            return "name the environment variable that holds the key: `key: NAME`"
        return f"check the key in {access.variable}, and what it may use"
    if error.status_code == 404:
        return f"check `model` and `base_url`; {access.url}/models lists what there is"
    if error.status_code == 429 and _code(error) in _NEVER_PASS:
        return "top up the account: the quota is used up; what was read so far is kept"
    if error.status_code == 429:
        return "wait as long as the server asks; answers read so far are kept"
    return (
        "set `verdict: text` if it gives no log-probabilities; choose a model that takes temperature 0; "
        "shorten the responses if they do not fit"
    )


def _code(error: openai.APIStatusError) -> str | None:
    return error.code if isinstance(error.code, str) else None


def _message(error: openai.APIStatusError) -> str:
    """The server's own words, where its body has the usual form."""
    told = error.body.get("message") if isinstance(error.body, dict) else None
    return told if isinstance(told, str) else error.response.reason_phrase

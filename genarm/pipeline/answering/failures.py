"""Which failures of a guided server may pass by themselves, and the errors for those that do not."""

import httpx

from genarm.errors import ConfigError, RequestError
from genarm.system.redact import redact
from genarm.system.retry_after import retry_after

AWAY = (429, 502, 503)  # of the server, not of this request
_SHOWN = 300  # characters of what a server says


class Passing(Exception):
    """A failure after which the same request may succeed, here or at another server.

    `after` are the seconds that the server asks to wait; `of_request` whether the request itself may be why.
    """

    def __init__(self, reason: str, *, after: float | None = None, of_request: bool = False) -> None:
        super().__init__(reason)
        self.after, self.of_request = after, of_request


def unanswered(error: httpx.HTTPError) -> Passing:
    """A connection that was refused, lost or silent for too long."""
    said = f"{type(error).__name__} {shown(error)}".strip()
    return Passing(said, of_request=isinstance(error, httpx.ReadTimeout))


def checked(answer: httpx.Response, url: str, variable: str | None) -> httpx.Response:
    """The answer, if the server gives one.

    Raises Passing for a failure that may pass, ConfigError for a key that is refused or an address that is
    none of a guided server, RequestError for a request that the server refuses.
    """
    status = answer.status_code
    if answer.is_success:
        return answer
    if status in AWAY:
        after = retry_after(answer.headers.get("retry-after", ""))
        raise Passing(f"{status} {words(answer)}", after=after)
    if status == 408 or status >= 500:
        raise Passing(f"{status} {words(answer)}", of_request=True)
    if status in (401, 403):
        hint = f"check the key in {variable}" if variable else "name its variable: respond.engine.key"
        raise ConfigError(f"{url} refuses the key: {status} {words(answer)}", hint=hint)
    if status in (404, 405) or answer.is_redirect:
        hint = "respond.engine.server is the address that genarm serve prints, such as http://gpu-1:8000/v1"
        raise ConfigError(f"{url} answers {status} {words(answer)}", hint=hint)
    raise RequestError(
        f"{url} refuses a request: {status} {words(answer)}",
        hint="change what it names in respond.sampling; without respond.engine the stage answers by itself",
    )


def words(answer: httpx.Response) -> str:
    """The server's own words in a line, without secrets."""
    try:
        told = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        told = answer.reason_phrase
    return shown(told)


def shown(text: object) -> str:
    """Words in a line, shortened, without secrets."""
    line = redact(" ".join(str(text).split()))
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."

"""An error as the OpenAI API tells it: a status, and an object with message, type, parameter and code."""

from collections.abc import Mapping
from typing import Any

from genarm.errors import GenarmError, RequestError
from genarm.system.redact import redact

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """What a client is told instead of an answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        """The kind of error, as OpenAI names it."""
        return TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")

    def body(self) -> dict[str, Any]:
        """The JSON object."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}


class ClientGone(Exception):
    """The connection was closed before the answer was whole."""


def invalid(message: str, param: str | None = None) -> ApiError:
    """A request that cannot be served as it is."""
    return ApiError(400, message, param=param)


def overloaded(message: str) -> ApiError:
    """A server that has no room now and may have some in a second."""
    return ApiError(503, message, code="overloaded", headers={"Retry-After": "1"})


def failed() -> ApiError:
    """A fault of the server, whose words are in its log and not in the answer."""
    return ApiError(500, "the server failed; its log says more under the id of this request")


def from_decoder(error: Exception, rendering: bool) -> ApiError:
    """What the decoder raised: the client's mistake while a request is read, the server's later on."""
    if isinstance(error, RequestError) or (rendering and isinstance(error, GenarmError)):
        return invalid(redact(str(error)))
    if isinstance(error, GenarmError):
        return ApiError(500, redact(error.message))
    return failed()


def unknown_key() -> ApiError:
    """What a request without a key that is known is told."""
    return ApiError(
        401,
        "the API key is missing or not known: send the header Authorization: Bearer KEY",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )

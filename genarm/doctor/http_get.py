"""Asking a server of MLflow or Prefect, without either library and without ever showing a login."""

import base64
import http.client
import importlib.metadata
import socket
import urllib.error
import urllib.request
from urllib.parse import unquote, urlsplit

from genarm.errors import Unreachable
from genarm.pipeline.check_result import CheckResult, ok, warn
from genarm.system.redact import redact

PATIENCE = 3.0  # seconds for a server to answer


def get(
    uri: str,
    path: str,
    *,
    bearer: str | None = None,
    login: str | None = None,
    patience: float | None = None,
    body: bytes | None = None,
    most: int = 1024,
) -> tuple[int, str]:
    """The status and the first `most` bytes of the answer to a GET, or a POST of JSON with a `body`.

    `login` is `user:password`; a login within the address takes precedence.
    Raises Unreachable, naming the address without its login, where no answer comes within `patience` seconds.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:  # its text quotes the address
        raise Unreachable(f"{redact(uri)} is no address of a server") from None
    if parts.scheme not in ("http", "https"):
        raise Unreachable(f"{redact(uri)} is no address of a server: it begins with http:// or https://")
    login_in_uri, _, host = parts.netloc.rpartition("@")
    login = unquote(login_in_uri) or login
    request = urllib.request.Request(f"{parts.scheme}://{host}{parts.path.rstrip('/')}{path}", body)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    if bearer:
        request.add_header("Authorization", f"Bearer {bearer}")
    elif login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=patience or PATIENCE) as answer:
            return answer.status, answer.read(most).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise Unreachable(f"{redact(uri)} does not answer: {reason}") from None
    except (http.client.HTTPException, ValueError) as error:  # their text quotes the address
        kind = type(error).__name__
        raise Unreachable(f"{redact(uri)} does not answer as a server should: {kind}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the login is for the address that the user gave."""

    def redirect_request(self, *answer: object) -> None:
        return None


def compare_versions(library: str, address: str, server_version: str) -> CheckResult:
    """Compare the version of a server with that of the client installed here."""
    client_version = importlib.metadata.version(library)
    if server_version != client_version:
        fix = f"python -m pip install {library}=={server_version}"
        detail = f"{address} is {server_version}, this client {client_version}: keep them equal"
        return warn(library, detail, fix)
    return ok(library, f"{address}, {server_version} like this client")


def listens(host: str, port: int, patience: float) -> bool:
    """Whether something accepts connections at a port."""
    try:
        socket.create_connection((host, port), timeout=patience).close()
    except OSError:
        return False
    return True

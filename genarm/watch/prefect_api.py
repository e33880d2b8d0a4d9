"""The Prefect server of this shell, asked over HTTP: Prefect itself takes seconds to import."""

import json
import os
from dataclasses import dataclass
from typing import Any

from genarm.errors import PipelineError
from genarm.system.redact import redact

MOST = 16 * 2**20  # bytes of an answer
PATIENCE = 3.0  # seconds for an answer


@dataclass(frozen=True, slots=True)
class Api:
    """A Prefect server by the address of its API."""

    address: str

    @property
    def shown(self) -> str:
        """The address without user name and password."""
        return redact(self.address)

    def ask(self, path: str, body: object, patience: float = PATIENCE) -> Any:
        """What the server answers to a POST of JSON.

        Raises Unreachable where it does not answer, PipelineError where it refuses or is no Prefect server.
        """
        from genarm.doctor.http_get import get  # `genarm.doctor` imports a good deal

        bearer, login = os.environ.get("PREFECT_API_KEY"), os.environ.get("PREFECT_API_AUTH_STRING")
        sent = json.dumps(body).encode()
        status, said = get(
            self.address, path, bearer=bearer, login=login, patience=patience, body=sent, most=MOST
        )
        if status not in (200, 201, 204):
            hint = (
                "set PREFECT_API_AUTH_STRING, or PREFECT_API_KEY"
                if status in (401, 403)
                else "set PREFECT_API_URL to an address that ends in /api; genarm doctor says more"
            )
            raise PipelineError(f"{self.shown}{path} answers {status}", hint=hint)
        try:
            return json.loads(said) if said else None
        except ValueError:
            raise PipelineError(
                f"{self.shown} answers, but it is no Prefect server",
                hint="set PREFECT_API_URL to the address of one",
            ) from None


def named_server() -> Api | None:
    """The server that PREFECT_API_URL names, in the environment or Prefect's profile; None without one."""
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        from genarm.doctor.prefect_server import setting

        address = setting("PREFECT_API_URL")
    return Api(address) if address else None

"""The key of an API, which comes from the environment alone and is never shown."""

import os

from genarm.errors import ConfigError, GenarmError


def api_key(variable: str, url: str, kind: type[GenarmError] = ConfigError) -> str:
    """The key in an environment variable. Raises `kind` where it is not there, or cannot be one."""
    key = os.environ.get(variable, "").strip()
    if not key:
        state = "is empty" if variable in os.environ else "is not set"
        raise kind(
            f"the environment variable {variable}, which should hold the key of {url}, {state}",
            hint=f"export {variable}=... in the shell that starts the run, not in params.yaml",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise kind(
            f"the environment variable {variable} holds what cannot be a key: spaces or special characters",
            hint=f"export {variable} anew, with the key alone",
        )
    return key

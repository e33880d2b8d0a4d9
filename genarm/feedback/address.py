"""The address of a store, as `feedback.store` names it: a file, `sqlite:///`, `postgresql://`, `env://NAME`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.errors import ConfigError
from genarm.system.redact import redact

if TYPE_CHECKING:
    from sqlalchemy import URL

KINDS = ("sqlite", "postgresql")
WAYS = "a file such as feedback.db, postgresql://HOST/NAME, or env://NAME for a variable that holds either"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is. `shown` has no password; `file` is that of SQLite."""

    url: "URL"
    shown: str
    file: Path | None


def read_address(store: str | None, root: Path) -> Address:
    """The address behind `feedback.store`; a relative file lies in the project's folder.

    Raises ConfigError where there is none, or it is no address of a store.
    """
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    if store is None:
        raise ConfigError(
            "nobody is asked what they prefer: feedback.store is null",
            hint="set it in params.yaml, such as feedback: {store: feedback.db}",
        )
    if store.startswith("env://"):
        name = store.removeprefix("env://")
        store = os.environ.get(name, "")
        if not store:
            raise ConfigError(
                f"feedback.store is env://{name}, and there is no such variable", hint=f"export {name}=..."
            )
    try:
        url = make_url(store) if "://" in store else URL.create("sqlite", database=store)
    except ArgumentError:
        raise ConfigError("feedback.store is no address of a database", hint=WAYS) from None
    kind = url.get_backend_name()
    if kind not in KINDS:
        raise ConfigError(f"feedback.store is of {kind}, which is not supported", hint=WAYS)
    if kind != "sqlite":
        return Address(url, redact(url.render_as_string(hide_password=True)), None)
    if url.database in (None, "", ":memory:"):
        raise ConfigError("feedback.store names no file", hint=WAYS)
    file = root / Path(str(url.database)).expanduser()
    return Address(URL.create("sqlite", database=str(file)), str(file), file)

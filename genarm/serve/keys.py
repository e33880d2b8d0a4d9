"""Who may ask, and how much: API keys, of which a file holds the hashes alone."""

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from genarm.errors import ConfigError
from genarm.serve.errors import ApiError, unknown_key
from genarm.system.files import read_json, write_json

PREFIX = "ga-"
WINDOW = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the file. `sha256` is of its text; null limits nothing."""

    name: str
    sha256: str
    requests_per_minute: int | None = None
    open_requests: int | None = None


@dataclass(eq=False)
class Caller:
    """Someone who may ask, and what they did lately."""

    key: Key
    open: int = 0
    asked: deque[float] = field(default_factory=deque)

    @property
    def name(self) -> str:
        """The name of the key; empty where keys are not asked for."""
        return self.key.name if self.key.sha256 else ""


class Keys:
    """The keys of a server; without any, everybody may ask."""

    def __init__(self, keys: Sequence[Key], clock: Callable[[], float] = time.monotonic) -> None:
        self._callers = [Caller(key) for key in keys]
        self._anybody = Caller(Key("anybody", ""))
        self._clock = clock

    def caller(self, authorization: str | None) -> Caller:
        """Who sends this header `Authorization: Bearer KEY`. Raises ApiError 401 where nobody known does."""
        if not self._callers:
            return self._anybody
        scheme, _, given = (authorization or "").partition(" ")
        digest = hashlib.sha256(given.strip().encode()).hexdigest() if scheme.lower() == "bearer" else ""
        found = None
        for caller in self._callers:  # all, so that the time tells nothing
            if hmac.compare_digest(caller.key.sha256, digest):
                found = caller
        if found is None:
            raise unknown_key()
        return found

    @contextmanager
    def admitted(self, caller: Caller) -> Iterator[None]:
        """Count a request of a caller while it is open. Raises ApiError 429 beyond the limits of the key."""
        now, key = self._clock(), caller.key
        while caller.asked and caller.asked[0] <= now - WINDOW:
            caller.asked.popleft()
        if key.requests_per_minute is not None and len(caller.asked) >= key.requests_per_minute:
            wait = max(1, round(caller.asked[0] + WINDOW - now + 0.5)) if caller.asked else 60
            raise ApiError(
                429,
                f"the key {key.name!r} may ask {key.requests_per_minute} times a minute",
                code="rate_limit_exceeded",
                headers={"Retry-After": str(wait)},
            )
        if key.open_requests is not None and caller.open >= key.open_requests:
            raise ApiError(
                429,
                f"the key {key.name!r} may have {key.open_requests} requests open at a time",
                code="rate_limit_exceeded",
                headers={"Retry-After": "1"},
            )
        if key.requests_per_minute is not None:
            caller.asked.append(now)
        caller.open += 1
        try:
            yield
        finally:
            caller.open -= 1


def read_keys(path: Path) -> list[Key]:
    """The keys of a file. Raises DataError or ConfigError naming what is wrong in it."""
    keys = read_json(path, list[Key])
    for key in keys:
        if len(key.sha256) != 64 or set(key.sha256) - set("0123456789abcdef"):
            raise ConfigError(
                f"{path}: sha256 of key {key.name!r} is no SHA-256 in 64 lower-case hex digits",
                hint=f"make a new key: genarm serve --keys {path} --new-key NAME",
            )
    if len({key.name for key in keys}) < len(keys) or not keys:
        raise ConfigError(
            f"{path} holds two keys of one name" if keys else f"{path} holds no key",
            hint=f"make one: genarm serve --keys {path} --new-key NAME",
        )
    return keys


def new_key(path: Path, name: str) -> str:
    """Add a key to a file, which need not exist; returns its text, which is kept nowhere.

    Raises ConfigError for a name that is taken.
    """
    keys = read_json(path, list[Key]) if path.exists() else []
    if any(key.name == name for key in keys):
        raise ConfigError(
            f"{path} has a key {name!r} already", hint="choose another name, or remove that one"
        )
    text = PREFIX + secrets.token_urlsafe(32)
    write_json(path, [*keys, Key(name, hashlib.sha256(text.encode()).hexdigest())])
    return text

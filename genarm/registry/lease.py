"""A lock that all who share a registry share: a lease, kept in the registry itself.

MLflow has no lock and no compare-and-set, but a registered model's name is unique on every database, also
through a server. So lease number n is the registered model `genarm-lease.<n>`, and whoever creates n + 1,
after n was released or has run out, holds the registry; only one process can succeed. (No dimension has a dot
in its name.) n is the fencing number: before each write its holder makes sure that there is no lease above n.

- The holder renews a tag, its beat, from a thread. Who waits takes a lease for dead once its beat has not
  changed for LEASE_SECONDS by the clock of the one who waits, so no clocks of two machines are compared; and
  at once where the holder was a process of the same machine that is gone.
- A holder that was stopped, or cut off from the server, for that long finds a higher number and writes
  nothing more. What it left half done is repaired by the next holder (`genarm.registry.repair`).
- MLflow cannot refuse a write by fencing number, so a process that is stopped between that check and the
  write itself still makes this one write. It is noticed right afterwards, and not told as success.
"""

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from genarm.errors import Busy
from genarm.registry import tags
from genarm.registry.mlflow_errors import ABSENT, DENIED, EXISTS, has_no_answer, passing_over
from genarm.registry.pages import lease_page
from genarm.system.owner import Owner

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

LEASE_SECONDS = 20.0  # without a beat, after which a lease has run out
BEATS = 4  # in that time
POLL_SECONDS = (0.05, 0.25)  # between two looks at a lease that another holds, at first; drawn at random
SLOWEST = 4  # times that, after some seconds, so that those who wait do not keep the server busy
READS = ("get_", "search_", "list_", "download_")  # how the methods of MLflow's client begin that only read

log = logging.getLogger(__name__)
_given_up: set[str] = set()  # the tokens of leases of this process that could not be released


@contextmanager
def lease(client: "MlflowClient", address: str, seconds: float) -> Iterator["MlflowClient"]:
    """Hold the registry; yields a client that refuses to write once another process has taken over.

    Raises Busy, naming the holder, where another process still holds it after `seconds`.
    """
    held = _take(client, address, seconds)
    stop = threading.Event()
    beats = threading.Thread(target=held.beat_until, args=(stop,), name="genarm-lease", daemon=True)
    beats.start()
    try:
        yield cast("MlflowClient", _Fenced(client, held))
    finally:
        stop.set()
        if held.unanswered is None:
            beats.join(LEASE_SECONDS)
            held.release()
        else:  # to release it, the server would be waited for once more
            _given_up.add(held.token)


class _Lease:
    """One lease, from the side of its holder."""

    def __init__(self, client: "MlflowClient", address: str, number: int) -> None:
        self.client, self.address, self.number = client, address, number
        self.token = uuid.uuid4().hex
        self.beaten = time.monotonic()  # when the last beat that arrived was sent
        self.lost = False
        self.unanswered: Exception | None = None  # the first error of a server that does not answer

    @property
    def has_run_out(self) -> bool:
        """Whether others may take it for dead by now."""
        return self.lost or time.monotonic() >= self.beaten + LEASE_SECONDS

    def create(self) -> bool:
        """Try to take the lease; whether that succeeded."""
        owner = Owner.here()
        # It exists where another process was faster; or MLflow's client sent the request twice, and it is
        # ours. It is absent where it existed, and is gone by now.
        with passing_over(EXISTS, ABSENT):
            self.client.create_registered_model(
                tags.lease_name(self.number),
                {
                    tags.LEASE_TOKEN: self.token,
                    tags.LEASE_HOST: owner.host,
                    tags.LEASE_MACHINE: owner.machine,
                    tags.LEASE_PID: str(owner.pid),
                    tags.LEASE_STARTED: repr(owner.started),
                    tags.LEASE_SINCE: datetime.now(UTC).isoformat(timespec="seconds"),
                    tags.LEASE_BEAT: "0",
                },
                lease_page(),
            )
        # Where this process was stopped before it created the lease, higher ones may have come and gone.
        found = leases(self.client)
        if not found or not self._is(found[0]):
            return False
        for model in found[1:]:
            # Absent: another process was faster. Denied: on a server with logins it is another user's.
            with passing_over(ABSENT, DENIED):
                self.client.delete_registered_model(model.name)
        return True

    def check(self) -> None:
        """Raise Busy unless the lease is the highest still, and renewed in time."""
        if not self.has_run_out and self._is_latest():
            return
        self.lost = True
        raise Busy(
            f"{self.address}: this process was stopped, or out of touch with the registry, for "
            f"{LEASE_SECONDS:.0f} s, and another may have taken over; it writes nothing more",
            hint="run the same command again: it finds out what was done and does the rest",
        )

    def beat_until(self, stop: threading.Event) -> None:
        """Renew the lease until `stop` is set, or until it is another's."""
        count = 0
        while not stop.wait(LEASE_SECONDS / BEATS):
            count, sent = count + 1, time.monotonic()
            try:
                self.client.set_registered_model_tag(
                    tags.lease_name(self.number), tags.LEASE_BEAT, str(count)
                )
                if not self._is_latest():
                    self.lost = True
                    return
                self.beaten = sent
            except Exception as error:  # the next write tells it, if it does not pass
                log.debug("%s: the lease was not renewed: %s", self.address, error)

    def release(self) -> None:
        """Let the next process take the registry at once."""
        try:
            if self._is_latest():
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self.client.set_registered_model_tag(tags.lease_name(self.number), tags.LEASE_RELEASED, now)
        except Exception as error:  # an error of the work itself matters more
            log.warning(
                "%s: the lock was not released, which others notice in %.0f s: %s",
                self.address,
                LEASE_SECONDS,
                error,
            )

    def _is_latest(self) -> bool:
        found = leases(self.client)
        return bool(found) and self._is(found[0])

    def _is(self, model: "RegisteredModel") -> bool:
        return (model.name, model.tags.get(tags.LEASE_TOKEN)) == (tags.lease_name(self.number), self.token)


def _take(client: "MlflowClient", address: str, seconds: float) -> _Lease:
    waiting_since = time.monotonic()
    seen, seen_at = ("", ""), 0.0  # the last beat of whom, and when it was new to us
    while True:
        now = time.monotonic()
        found = leases(client)
        number = 0
        if found:
            number = tags.lease_number(found[0].name) or 0
            beat = (found[0].name, found[0].tags.get(tags.LEASE_BEAT, ""))
            if beat != seen:
                seen, seen_at = beat, time.monotonic()
        if not found or now - seen_at >= LEASE_SECONDS or _is_free(found[0]):
            mine = _Lease(client, address, number + 1)
            if mine.create():
                return mine
        if now - waiting_since >= seconds:
            raise _busy(address, found, seconds)
        time.sleep(random.uniform(*POLL_SECONDS) * min(1 + now - waiting_since, SLOWEST))


def _busy(address: str, found: "list[RegisteredModel]", seconds: float) -> Busy:
    if not found:
        return Busy(
            f"{address}: the lock of the registry cannot be taken; waited {seconds:.0f} s: the models "
            f"{tags.LEASE_MODEL}* exist, but are not shown to this user",
            hint=f"let an administrator give you the permission to read the models {tags.LEASE_MODEL}*",
        )
    return Busy(
        f"{address}: {holder(found[0])}, is changing the registry; waited {seconds:.0f} s",
        hint=f"wait for it to end; should it be gone, the lock is free {LEASE_SECONDS:.0f} s later",
    )


def leases(client: "MlflowClient") -> "list[RegisteredModel]":
    """The leases of a registry, the highest first: one, or a few after a crash."""
    found = client.search_registered_models(f"name LIKE '{tags.LEASE_MODEL}%'", order_by=["name DESC"])
    return [model for model in found if tags.lease_number(model.name) is not None]


def holder(model: "RegisteredModel") -> str:
    """Who took a lease, and when, for messages."""
    known = model.tags
    return (
        f"process {known.get(tags.LEASE_PID, '?')} on {known.get(tags.LEASE_HOST, '?')}, "
        f"since {known.get(tags.LEASE_SINCE, '?')}"
    )


def busy(client: "MlflowClient") -> bool:
    """Whether some process holds the registry, as far as a single look tells."""
    found = leases(client)
    return bool(found) and not _is_free(found[0])


def _is_free(model: "RegisteredModel") -> bool:
    """Whether it was released, or its holder has ended."""
    known = model.tags
    if tags.LEASE_RELEASED in known or known.get(tags.LEASE_TOKEN) in _given_up:
        return True
    try:
        owner = Owner(
            known[tags.LEASE_HOST],
            known[tags.LEASE_MACHINE],
            int(known[tags.LEASE_PID]),
            float(known[tags.LEASE_STARTED]),
        )
    except (KeyError, ValueError):  # edited by hand: it runs out by its beat
        return False
    return owner.is_gone


class _Fenced:
    """MLflow's client, whose every write first checks the lease; afterwards too, where it took long.

    Once the server has not answered, it is asked nothing more: each request would wait as long as the first.
    """

    def __init__(self, client: "MlflowClient", held: _Lease) -> None:
        self._client, self._held = client, held

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if not callable(call):
            return call

        @wraps(call)
        def asked(*args: Any, **kwargs: Any) -> Any:
            if self._held.unanswered is not None:
                raise self._held.unanswered
            try:
                return call(*args, **kwargs) if name.startswith(READS) else self._write(call, args, kwargs)
            except Exception as error:
                if has_no_answer(error):
                    self._held.unanswered = error
                raise

        return asked

    def _write(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._held.check()
        result = call(*args, **kwargs)
        if self._held.has_run_out:  # stopped in between: was it in time?
            self._held.check()
        return result

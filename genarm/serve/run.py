"""`genarm serve`: loads what is in use, serves it until it is stopped, and follows the champions."""

import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from genarm.errors import ConfigError
from genarm.pipeline.project import Project
from genarm.serve.app import create_app
from genarm.serve.keys import Keys, read_keys
from genarm.serve.opening import Opener, read_pins
from genarm.serve.service import Service
from genarm.serve.settings import ServeSettings
from genarm.serve.watcher import Watcher, told

if TYPE_CHECKING:
    from genarm.feedback.store import Store

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """A server that takes no request from the signal on, and lets those that are open end."""

    def __init__(self, service: Service, host: str, port: int) -> None:
        self.service = service
        super().__init__(
            uvicorn.Config(
                create_app(service), host=host, port=port, log_config=None, access_log=False, lifespan="on",
                ws="none",  # its library waits for ever on an upgrade that has a body
                timeout_graceful_shutdown=int(service.settings.stop_seconds), server_header=False,
                h11_max_incomplete_event_size=1 << 16,
            )
        )  # fmt: skip

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say at `/ready` that the end is near, before connections are closed; a second Ctrl-C ends at once.

        uvicorn's own would repeat the signal at the end, and a server that was stopped would seem killed.
        """
        self.service.stopping = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def serve(
    project: Project,
    *,
    host: str,
    port: int,
    keys: Path | None,
    pins: list[str],
    slots: int,
    watch: float,
    settings: ServeSettings,
    say: Callable[[str], None],
) -> None:
    """Serve a project until SIGINT or SIGTERM; `watch` are the seconds between two looks, 0 for none.

    A request that does not say how it is sampled is sampled as the evaluation prompts are. Raises ConfigError
    for an address that is open to others without keys, or is taken, and what loading raises.
    """
    known = read_keys(keys) if keys else []
    if not known and not is_loopback(host):
        raise ConfigError(
            f"without keys anybody who reaches {host} could use the server",
            hint="make a key: genarm serve --keys keys.json --new-key NAME, then --keys keys.json; "
            "or --host 127.0.0.1",
        )
    dimensions = list(project.params.dimensions)
    opener = Opener(project, read_pins(pins, dimensions), slots, trial=settings.trial)
    with listening(host, port) as listener, _store(project) as store:
        arms = opener.wanted()
        say(f"loading {told(arms)}")
        lineup = opener.open(arms)
        opener.tidy(arms)
        sampling = project.params.respond.sampling
        settings = replace(
            settings,
            max_tokens=sampling.max_new_tokens, temperature=sampling.temperature,
            top_p=sampling.top_p, top_k=sampling.top_k, stop=sampling.stop,
        )  # fmt: skip
        service = Service(lineup, settings, Keys(known), store)
        server, watcher = Server(service, host, port), Watcher(service, opener, watch, say)
        if watch:
            watcher.start()
        elif project.params.serve.canary:
            say("no challenger is tried, as --watch 0 looks for none")
        at = f"http://{host}:{listener.getsockname()[1]}"
        say(f"serving {', '.join(lineup.models())} at {at}/v1")
        if store:
            say(f"people compare responses at {at}/compare; votes are kept at {store.database.address.shown}")
        try:
            server.run(sockets=[listener])
        finally:
            watcher.stop()
        say("stopped")


@contextmanager
def _store(project: Project) -> Iterator["Store | None"]:
    """Where votes are kept, if the project asks for them. Raises as `Store`."""
    if project.params.feedback.store is None:
        yield None
        return
    from genarm.feedback.store import Store

    store = Store(project.params.feedback, project.root)
    try:
        yield store
    finally:
        store.close()


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises ConfigError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen at {host}:{port}: {error.strerror or error}",
            hint="choose another --port or --host",
        ) from None
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

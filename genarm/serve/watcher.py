"""Follows the champions: a promotion or a rollback is loaded beside what is served, then takes its place.

For the time in which both are loaded, base and ARMs need their memory twice. Requests that are open end with
the versions that they began with. A version that does not fit is told once, and the old one stays.
"""

import logging
import threading
from collections.abc import Callable

from genarm.errors import GenarmError
from genarm.serve.lineup import Lineup, ServedArm
from genarm.serve.opening import Opener, Versions
from genarm.serve.service import Service
from genarm.system.redact import redact

log = logging.getLogger(__name__)


class Watcher:
    """Looks at the registry every `seconds`, from `start` to `stop`."""

    def __init__(
        self, service: Service, opener: Opener, seconds: float, say: Callable[[str], None] = log.info
    ) -> None:
        self.service, self.opener, self.seconds, self.say = service, opener, seconds, say
        self._refused: Versions | None = None
        self._away = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="genarm-champions", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; a load under way goes on and is not used."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self.seconds):
            self.look()

    def look(self) -> bool:
        """Look once, and swap where something changed; whether it was swapped. Raises nothing."""
        service = self.service
        try:
            wanted = self.opener.wanted()
        except GenarmError as error:
            if not self._away:
                log.warning("the champions cannot be read, so the versions stay: %s", redact(str(error)))
            self._away = True
            return False
        except Exception:
            log.exception("the champions cannot be read, so the versions stay")
            return False
        self._away = False
        if wanted == service.lineup.arms:
            self._refused, service.refused = None, {}
            return False
        if wanted == self._refused:
            return False
        lineup = self._opened(wanted)
        if lineup is None or self._stop.is_set():
            return False
        service.swap(lineup)
        self.say(f"now served: {told(lineup.arms)}")
        self.opener.tidy(lineup.arms)
        return True

    def _opened(self, wanted: Versions) -> Lineup | None:
        """What is wanted, loaded; None, and told, where it does not fit."""
        service = self.service
        changed = {d: arm for d, arm in wanted.items() if service.lineup.arms.get(d) != arm}
        try:
            lineup = self.opener.open(wanted)
        except Exception as error:
            known = isinstance(error, GenarmError)
            reason = redact(str(error)) if known else f"{type(error).__name__}: see the server's log"
            log.warning(
                "%s cannot be served, so %s stays: %s", told(changed), told(service.lineup.arms), reason,
                exc_info=None if known else error,
            )  # fmt: skip
            service.metrics.swaps.labels("refused").inc()
            service.refused = {
                d: {"version": arm.champion.version, "reason": reason} for d, arm in changed.items()
            }
            if not getattr(error, "retryable", False) and not self.opener.leave_out(changed):
                self._refused = wanted
            return None
        service.metrics.swaps.labels("done").inc()
        self._refused, service.refused = None, {}
        return lineup


def told(arms: "Versions | dict[str, ServedArm]") -> str:
    """Versions in a line: `positive@3 at weight 0.3 by sum, plain@1 at ...`."""
    parts = (
        f"{a.dimension}@{a.champion.version}{' on trial' if a.trial else ''} at weight "
        f"{a.champion.weight:g} by {a.champion.guidance}"
        for a in arms.values()
    )
    return ", ".join(parts) or "the base alone"

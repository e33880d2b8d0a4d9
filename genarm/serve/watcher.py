"""Follows the champions, and the challenger on trial: a change is loaded beside what is served, then takes
its place.

For the time in which both are loaded, base and ARMs need their memory twice. Requests that are open end with
the versions that they began with. A version that does not fit is told once, and the old one stays.
"""

import logging
import threading
from collections.abc import Callable

from genarm.errors import GenarmError
from genarm.serve.canary import RunningTrial
from genarm.serve.canary_watch import CanaryWatch, ToServe
from genarm.serve.lineup import Lineup, ServedArm
from genarm.serve.opening import Opener, Versions
from genarm.serve.service import Service
from genarm.system.redact import redact
from genarm.types import Trial

log = logging.getLogger(__name__)


class Watcher:
    """Looks at the registry every `seconds`, from `start` to `stop`."""

    def __init__(
        self, service: Service, opener: Opener, seconds: float, say: Callable[[str], None] = log.info
    ) -> None:
        self.service, self.opener, self.seconds, self.say = service, opener, seconds, say
        self.canary = CanaryWatch(opener.project)
        self._refused: tuple[Versions, Trial | None] | None = None
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
        trial = self.canary.look(service.running, wanted)
        asked = (wanted, trial.canary.trial if trial else None)
        if asked == (service.lineup.arms, service.running.trial if service.running else None):
            self._refused, service.refused = None, {}
            return False
        if asked == self._refused:
            return False
        found = self._opened(wanted, trial)
        if found is None or self._stop.is_set():
            return False
        lineup, running = found
        service.swap(lineup, running)
        challenger = trial.challenger if trial and running else None
        beside = f", and on trial {told({challenger.dimension: challenger})}" if challenger else ""
        self.say(f"now served: {told(lineup.arms)}{beside}")
        self.opener.tidy(lineup.arms, challenger)
        return True

    def _opened(self, wanted: Versions, trial: ToServe | None) -> tuple[Lineup, RunningTrial | None] | None:
        """What is wanted, loaded: without the challenger where that does not fit, None where nothing does.

        What does not fit is told.
        """
        service = self.service
        try:
            found = self._loaded(wanted, trial)
            self._refused, service.refused = None, {}
            return found
        except Exception as error:
            changed = self._refuse(wanted, trial, error)
            again = getattr(error, "retryable", False) or self.opener.leave_out(changed)
            self._refused = None if again else (wanted, trial.canary.trial if trial else None)
        if trial is None or (wanted == service.lineup.arms and service.running is None):
            return None
        try:
            return self._loaded(wanted, None)
        except Exception as error:
            self._refuse(wanted, None, error)
            return None

    def _loaded(self, wanted: Versions, trial: ToServe | None) -> tuple[Lineup, RunningTrial | None]:
        lineup = self.opener.open(wanted, trial.challenger if trial else None)
        running = self.canary.begin(trial, lineup, self.service.means) if trial else None
        self.service.metrics.swaps.labels("done").inc()
        return lineup, running

    def _refuse(self, wanted: Versions, trial: ToServe | None, error: Exception) -> dict[str, ServedArm]:
        """Tell what cannot be served, and why; the versions that are new among what was wanted."""
        service = self.service
        changed = {d: arm for d, arm in wanted.items() if service.lineup.arms.get(d) != arm}
        if trial and not changed:
            changed = {trial.challenger.dimension: trial.challenger}
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
        return changed


def told(arms: "Versions | dict[str, ServedArm]") -> str:
    """Versions in a line: `positive@3 at weight 0.3 by sum, plain@1 at ...`."""
    parts = (
        f"{a.dimension}@{a.champion.version}{' on trial' if a.trial else ''} at weight "
        f"{a.champion.weight:g} by {a.champion.guidance}"
        for a in arms.values()
    )
    return ", ".join(parts) or "the base alone"

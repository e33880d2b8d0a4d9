"""What the registry says of the trial, and what it is told: asked by the watcher, while no request waits."""

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from genarm.canary import spool
from genarm.canary.ending import end
from genarm.config import TRAFFIC, CanaryConfig
from genarm.errors import GenarmError, RegistryError
from genarm.evaluation.canary import standing
from genarm.pipeline.project import Project
from genarm.registry import connect
from genarm.registry.canaries import Canary, open_canary, responses, to_try, write_responses
from genarm.serve.canary import Means, RunningTrial
from genarm.serve.lineup import Lineup, ServedArm
from genarm.system.redact import redact
from genarm.types import Responses

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds until a registry that was met in the middle of a change is asked again


@dataclass(frozen=True, slots=True)
class ToServe:
    """A trial that goes on, as the registry has it."""

    canary: Canary

    @property
    def challenger(self) -> ServedArm:
        """Its challenger, as an opener takes it."""
        return ServedArm(self.canary.trial.dimension, self.canary.trial.challenger)


class CanaryWatch:
    """The trial of a project, for one server, which writes under an id of its own."""

    def __init__(self, project: Project) -> None:
        self.project, self.config = project, project.params.serve.canary
        self.writer = uuid.uuid4().hex[:12]
        self._written: tuple[str, Responses] | None = None
        self._told = ""
        self._last: ToServe | None = None

    def look(self, running: RunningTrial | None, arms: Mapping[str, ServedArm]) -> ToServe | None:
        """Report what was seen, and say which trial is to go on beside these champions. Raises nothing.

        Where the registry does not say it, the last one goes on while its champion is served.
        """
        try:
            if running:
                self._report(running)
            self._last = self._looked_up(arms)
            if self._last is None:  # what people wrote is of no more use
                spool.forget_others(self.project.layout.canary, "")
            return self._last
        except GenarmError as error:
            self._tell(f"the trial cannot be looked up: {redact(str(error))}")
        except Exception:
            log.exception("the trial cannot be looked up")
        last = self._last
        same = last and arms.get(last.challenger.dimension)
        return last if last and same and same.champion == last.canary.trial.champion else None

    def _looked_up(self, arms: Mapping[str, ServedArm]) -> ToServe | None:
        """As `_to_serve`, which a promotion may meet between two of its writes: then once more."""
        try:
            return self._to_serve(arms)
        except RegistryError:
            time.sleep(AGAIN)
            return self._to_serve(arms)

    def _to_serve(self, arms: Mapping[str, ServedArm]) -> ToServe | None:
        if self.config is None:
            return None
        dimension = self.config.dimension
        if dimension in arms and arms[dimension].pinned:
            self._tell(f"{dimension} is pinned, so no challenger stands beside it")
            return None
        store = connect(self.project.root)
        trial = to_try(store, dimension)
        if trial is None or dimension not in arms or arms[dimension].champion != trial.champion:
            return None
        canary = open_canary(store, trial, self.config.model_dump_json())
        return None if canary.outcome else ToServe(canary)

    def begin(self, to_serve: ToServe, lineup: Lineup, means: Means) -> RunningTrial:
        """The trial in a lineup whose decoder has both sides, with what was seen of it before."""
        canary = to_serve.canary
        before = responses(connect(self.project.root), canary, but=self.writer)
        rule = CanaryConfig.model_validate_json(canary.rule)
        assert self.config is not None, "a trial is served where params.yaml asks for one"
        traffic = self.config.model_dump(include=TRAFFIC)
        running = RunningTrial(
            canary.trial, rule.model_copy(update=traffic), lineup, means, self.project.layout.canary, before
        )
        if self._written and self._written[0] == canary.trial.key:  # it was interrupted, by another swap
            running.own = self._written[1]
        return running

    def _report(self, running: RunningTrial) -> None:
        """Write down what this server saw, and end the trial where it stopped it."""
        seen = (running.trial.key, running.own)
        if seen == self._written and not running.why:
            return
        store = connect(self.project.root)
        assert self.config is not None, "a trial is served where params.yaml asks for one"
        canary = open_canary(store, running.trial, self.config.model_dump_json())
        if canary.outcome:
            return
        write_responses(store, canary, self.writer, running.own)
        self._written = seen
        if running.why:
            found = standing({}, running.before + running.own, running.rule)
            log.warning("%s", end(self.project, store, canary, found))

    def _tell(self, why: str) -> None:
        """Say why a trial does not go on, once."""
        if why != self._told:
            log.warning("%s", why)
        self._told = why

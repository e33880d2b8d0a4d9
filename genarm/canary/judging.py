"""A look at a trial: what both sides answered is judged, added to the record, and the rule is asked.

It runs in a process of its own (`genarm canary judge`), so that no request waits for a judge. Verdicts of
people come in by the same way: votes from the project's store, and `more` is anything that gives outcomes.
"""

import hashlib
import logging
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from genarm import registry
from genarm.canary import spool
from genarm.canary.ending import end, end_overtaken, metrics_of
from genarm.canary.votes import people
from genarm.config import TRAFFIC, CanaryConfig
from genarm.errors import ConfigError, DataError, GenarmError
from genarm.evaluation.betting import counted
from genarm.evaluation.canary import standing
from genarm.judges import LoadedJudge, load_with_origin, preference
from genarm.judges.base import PreparedJudge
from genarm.pipeline.project import Project
from genarm.registry import canaries
from genarm.registry.canaries import Canary
from genarm.system.redact import redact
from genarm.types import CanaryOutcome, Trial

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found, in a sentence; `ended` where the trial is over, or there is none."""

    line: str
    outcomes: int = 0
    ended: bool = True


class CanaryJudge:
    """Looks at the trial of a project. Raises ConfigError where `params.yaml` asks for none."""

    def __init__(self, project: Project) -> None:
        asked = project.params.serve.canary
        if asked is None:
            raise ConfigError(
                "serve.canary is null, so no challenger is in service",
                hint="in params.yaml: serve: {canary: {dimension: "
                f"{next(iter(project.params.dimensions))}, share: 0.1}}}}",
            )
        self.project, self.config = project, asked
        self._unread = ""  # why votes were not read at the last look

    @cached_property
    def judge(self) -> LoadedJudge:
        """The judge of the dimension. Raises JudgeError where it cannot be loaded."""
        return load_with_origin(
            self.project.params.dimensions[self.config.dimension].judge, self.project.root
        )

    @property
    def writer(self) -> str:
        """What this project on this machine writes under; a lock lets one process at a time do so."""
        return hashlib.sha256(f"{platform.node()} {self.project.root}".encode()).hexdigest()[:12]

    def look(self, more: Iterable[CanaryOutcome] = ()) -> Look:
        """Judge what waits, take in people's votes and `more`, ask the rule, and carry out what it says.

        Raises JudgeError where the judge fails: what waits then waits for the next look. So do votes where
        their store cannot be read, which is told in the log.
        """
        project, dimension = self.project, self.config.dimension
        store, folder = registry.connect(project.root), project.layout.canary
        trial = canaries.to_try(store, dimension)
        end_overtaken(store, dimension, trial)
        spool.forget_others(folder, trial.key if trial else "")
        if trial is None:
            return Look(f"{dimension}: no challenger is on trial beside a champion")
        canary = canaries.open_canary(store, trial, self.config.model_dump_json())
        if canary.outcome:
            spool.forget_others(folder, "")
            ended = f"{dimension}: version {trial.challenger.version}, {canary.outcome}: {canary.reason}"
            return Look(ended)
        rule = self._rule(canary)
        seen = self._take_in(store, canary, [*more, *self._votes(trial, rule)])
        found = standing(counted(row.challenger for row in seen), canaries.responses(store, canary), rule)
        if seen:
            canaries.log_standing(store, canary, metrics_of(found), len(seen))
        if found.outcome is None:
            line = f"{dimension}: version {trial.challenger.version} goes on: {found.reason}"
            return Look(line, len(seen), ended=False)
        done = end(project, store, canary, found)
        spool.forget_others(folder, "")
        return Look(done, len(seen))

    def _take_in(
        self, store: registry.Registry, canary: Canary, more: Iterable[CanaryOutcome]
    ) -> Sequence[CanaryOutcome]:
        """All outcomes of the trial, after those that are new have been added to the record."""
        by_writer = canaries.outcomes(store, canary)
        all_rows = {row.id: row for rows in by_writer.values() for row in rows}
        folder, key = self.project.layout.canary, canary.trial.key
        pairs = list(spool.waiting(folder, key))
        new = {row.id: row for row in self._judged([p for _, p in pairs if p.prompt.id not in all_rows])}
        for row in more:
            if not 0 <= row.challenger <= 1:
                raise DataError(
                    f"outcome {row.id!r} has challenger = {row.challenger}, which is outside [0, 1]",
                    hint="1 where the challenger was preferred, 0 where the champion was, 0.5 for a tie",
                )
            new.setdefault(row.id, row)
        new = {name: row for name, row in new.items() if name not in all_rows}
        if new:
            own = [*by_writer.get(self.writer, ()), *new.values()]
            canaries.write_outcomes(store, canary, self.writer, own)
        for file, _ in pairs:
            file.unlink(missing_ok=True)
        return [*all_rows.values(), *new.values()]

    def _votes(self, trial: Trial, rule: CanaryConfig) -> Sequence[CanaryOutcome]:
        """What people preferred; nothing, and a line in the log, where that cannot be read now."""
        why, found = "", []
        try:
            found = people(self.project, trial, rule)
        except GenarmError as error:
            why = redact(str(error))
        if why and why != self._unread:
            log.warning("votes of people are not read: %s", why)
        self._unread = why
        return found

    def _judged(self, pairs: Sequence[spool.Pair]) -> Iterable[CanaryOutcome]:
        """An outcome for each pair that the judge could be read on."""
        if not pairs:
            return
        loaded = self.judge
        if isinstance(loaded.judge, PreparedJudge):
            loaded.judge.prepare([(p.prompt, p.challenger, p.champion) for p in pairs])
        for pair in pairs:
            said = preference(loaded.judge, pair.prompt, pair.challenger, pair.champion)
            if said is None:
                log.warning("the judge could not be read on prompt %s", pair.prompt.id)
            else:
                yield CanaryOutcome(pair.prompt.id, (1 + said) / 2, loaded.identity)

    def _rule(self, canary: Canary) -> CanaryConfig:
        """The rule that the trial began with, whatever `params.yaml` says by now."""
        rule = CanaryConfig.model_validate_json(canary.rule)
        if rule.model_dump(exclude=TRAFFIC) != self.config.model_dump(exclude=TRAFFIC):
            log.warning("the trial ends by the rule that it began with; that of params.yaml is for the next")
        return rule

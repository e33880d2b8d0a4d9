"""Every champion against the base, once a night: measured, recorded, and told or rolled back where worse."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from genarm import registry
from genarm.errors import ConfigError, RegistryError
from genarm.pipeline.in_step import keep_in_step
from genarm.pipeline.project import Project
from genarm.registry.nights import Night, log_night, nights, use_of
from genarm.system.counted import counted
from genarm.types import Champion, Comparison, Prompt
from genarm.watch.drift import is_worse, pooled
from genarm.watch.rejudge import all_prompts, measure, of_night

ACTOR = "watch"
Measure = Callable[[Project, str, Champion, list[Prompt], int], Comparison]


@dataclass(frozen=True, slots=True)
class Watched:
    """A champion's night, whether it was measured now or earlier on this day, and what came of it."""

    night: Night
    measured_now: bool
    rolled_back: str = ""

    @property
    def line(self) -> str:
        """The same in a sentence."""
        night = self.night
        text = (
            f"{night.dimension}: version {night.version} wins {night.win_rate} over the base, "
            f"{night.pooled} over {counted(night.nights, 'night')}"
        )
        text += "" if self.measured_now else "; measured earlier today"
        text += ": shown to win too seldom" if night.worse else ""
        return text + (f"; {self.rolled_back}" if self.rolled_back else "")


def watch(
    project: Project, *, carry_out: bool = True, day: str = "", measured: Measure = measure
) -> list[Watched]:
    """Measure each champion, unless that was done on this day (of UTC), and act on what several nights show.

    A dimension without a champion has no night. `carry_out` false rolls nothing back, though `watch.rollback`
    asks for it. Raises ConfigError where `watch.prompts` is null, or asks for more prompts than there are.
    """
    config = project.params.watch
    if config.prompts is None:
        raise ConfigError(
            "watch.prompts is null, so there is nothing to measure",
            hint="in params.yaml: watch: {prompts: 50}",
        )
    store, today, done = registry.connect(project.root), day or _today(), list[Watched]()
    champions = store.champions(list(project.params.dimensions))
    in_use = {d: champion for d, champion in champions.items() if champion}
    pool = all_prompts(project) if in_use else []  # before the first run there are none, and no champion
    for dimension, champion in in_use.items():
        before = nights(store, dimension)
        same = [night for night in before if night.use == use_of(champion)]
        if same and same[0].day == today:
            done.append(Watched(same[0], False, _act(project, store, same[0], carry_out)))
            continue
        number = before[0].number + 1 if before else 0
        asked = of_night(pool, number, config.nights, config.prompts)
        compared = measured(project, dimension, champion, asked, number)
        lately = [night.win_rate for night in same if number - night.number < config.nights]
        together = [compared.win_rate, *lately]
        rate = pooled(together)
        night = Night(
            dimension,
            today,
            number,
            champion.version,
            use_of(champion),
            compared.win_rate,
            rate,
            len(together),
            is_worse(rate, config.at_least, config.alpha),
        )
        log_night(store, night, compared)
        done.append(Watched(night, True, _act(project, store, night, carry_out)))
    return done


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _act(project: Project, store: registry.Registry, night: Night, carry_out: bool) -> str:
    """Put the champion before it back in use, or the base model where none may be; what was done.

    It is done later on the same day, too, where a kill came between a measurement and this.
    """
    least = project.params.watch.at_least
    if not (night.worse and project.params.watch.rollback and carry_out):
        return ""
    reason = (
        f"shown to win under {least:g} over the base: {night.pooled} over {counted(night.nights, 'night')}"
    )
    said: list[str] = []
    back = partial(store.rollback, night.dimension, reason, actor=ACTOR, tell=said.append)
    try:
        back()
    except RegistryError:  # no previous one, or it is blocked; the base alone did better than this one
        back(to=0)
    keep_in_step(project, store)
    return said[-1]

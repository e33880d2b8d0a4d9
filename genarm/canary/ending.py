"""How a trial in service ends: by the registry's own promotion, or with the challenger blocked, on record."""

import logging
from collections.abc import Mapping
from functools import partial

from genarm.errors import RegistryError, StaleDecision
from genarm.evaluation.canary import CanaryStanding
from genarm.pipeline.in_step import keep_in_step
from genarm.pipeline.project import Project
from genarm.registry import Registry, connect
from genarm.registry.canaries import Canary, Ending, canaries, end_canary, settle
from genarm.system import metric_names as names
from genarm.types import Decision, Trial
from genarm.watch import events

log = logging.getLogger(__name__)

ACTOR = "canary"  # who decided, in the registry
OVERTAKEN = "overtaken"  # how a trial ends whose sides somebody else has changed


def metrics_of(standing: CanaryStanding) -> dict[str, float]:
    """The win rate with its bounds, by the names of a decision's metrics; none where nothing was judged."""
    rate = standing.win_rate
    if not rate.n:
        return {}
    values = (rate.value, *rate.interval, rate.n)
    labels = (names.WIN_RATE, names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N)
    return dict(zip(labels, values, strict=True))


def end(project: Project, store: Registry, canary: Canary, standing: CanaryStanding) -> str:
    """Carry out what was found, and tell it as an event; what was done, in a sentence.

    Two processes may do so at once: what the first of them found is decided, promoted and recorded once.
    Raises what is worth another try, such as a server that does not answer.
    """
    trial = canary.trial
    found = Ending(_decision(trial, standing), metrics_of(standing))
    settled, tried = settle(store, canary, found), f"{trial.dimension}: version {trial.challenger.version}"
    if settled is None:
        return f"{tried}: another process has ended the trial"
    decision, metrics = settled.decision, settled.metrics
    store.record_decision(decision, actor=ACTOR, lineage={"canary run": canary.run}, metrics=metrics)
    ended, reason = str(decision.outcome), decision.reasons[0].removeprefix(f"{trial.dimension}: ")
    if ended == "promote":
        ended, reason = _promote(project, store, decision, metrics, reason)
    first = end_canary(store, canary, ended, reason)
    event = events.decided(project.root, decision, carried_out=ended == "promote") if first else None
    if event and (why := events.send(event)):
        log.warning("the event was not sent: %s", why)
    return f"{tried}, {ended}: {reason}"


def _decision(trial: Trial, standing: CanaryStanding) -> Decision:
    assert standing.outcome is not None, "a trial that goes on is not ended"
    return Decision(
        dimension=trial.dimension,
        outcome=standing.outcome,
        reasons=[f"{trial.dimension}: {standing.reason}"],
        challenger_sha256=trial.challenger.adapter_sha256,
        champion=trial.champion,
        weight=trial.challenger.weight,
        guidance=trial.challenger.guidance,
    )


def _promote(
    project: Project, store: Registry, decision: Decision, metrics: Mapping[str, float], reason: str
) -> tuple[str, str]:
    """How it ended, and why: promoted, or not in spite of the decision."""
    from genarm.pipeline.smoke_test import smoke_test

    try:
        store.promote(
            decision.dimension,
            decision,
            smoke_test=partial(smoke_test, project, decision.dimension),
            actor=ACTOR,
            metrics=metrics,
            say=log.info,
        )
    except StaleDecision as error:
        return OVERTAKEN, error.message
    except RegistryError as error:
        if error.retryable:
            raise
        return "reject", error.message
    keep_in_step(project, store)
    return "promote", reason


def end_overtaken(store: Registry, dimension: str, now: Trial | None) -> None:
    """End the trials whose sides have changed, such as by a rollback or by a run that promotes."""
    champion = store.champions([dimension])[dimension]
    for canary in canaries(store, dimension):
        if canary.outcome or (now and canary.trial.key == now.key):
            continue
        won = champion and champion.adapter_sha256 == canary.trial.challenger.adapter_sha256
        reason = "it became the champion" if won else "champion or challenger changed meanwhile"
        end_canary(store, canary, "promote" if won else OVERTAKEN, reason)


def stop_by_hand(project: Project, reason: str) -> list[str]:
    """End the trials that go on, undecided; a sentence on each. Raises RegistryError where there is none."""
    asked, store = project.params.serve.canary, connect(project.root)
    going = [one for one in canaries(store, asked.dimension) if not one.outcome] if asked else []
    if not going:
        raise RegistryError("no challenger is in service", hint="what is on trial: genarm status")
    for one in going:
        end_canary(store, one, "hold", f"stopped by hand: {reason}")
    return [
        f"{one.trial.dimension}: version {one.trial.challenger.version} is tried no more; servers follow "
        "within the seconds of --watch"
        for one in going
    ]

"""What is in use, what is on trial, and what was decided last: the registry at a glance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genarm.registry import tags
from genarm.registry.canaries import canaries
from genarm.registry.nights import Night, nights
from genarm.registry.record import RollbackNote, decision_note, noted_metrics, rollback_note
from genarm.registry.standing import place, standing, who
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import Version, iso, versions
from genarm.system import metric_names as names
from genarm.types import Estimate


@dataclass(frozen=True, slots=True)
class OnTrial:
    """The challenger of a dimension and the last decision on it, if there was one."""

    version: int
    adapter_sha256: str
    made: str
    outcome: str = ""
    decided: str = ""
    against: int | None = None  # the champion that it was compared with, 0 for the base model
    win_rate: Estimate | None = None
    in_service: str = ""  # how it does beside the champion, where it answers a share of the requests


@dataclass(frozen=True, slots=True)
class InUse:
    """What answers on a dimension; version 0 is the base model alone.

    `since` is empty where nobody noted it: the base model from the beginning, or an alias that was set by
    hand. `how` is a decision or a rollback in words, `decision_run` its run in MLflow. The win rate is that
    of the last decision on the version, over the version `against`.
    """

    dimension: str
    version: int = 0
    adapter_sha256: str = ""
    weight: float | None = None
    guidance: str = ""
    since: str = ""
    how: str = ""
    by: str = ""
    decision_run: str = ""
    against: int | None = None
    win_rate: Estimate | None = None
    on_trial: OnTrial | None = None
    night: Night | None = None  # the last one on which it was measured again


@dataclass(frozen=True, slots=True)
class Concluded:
    """A decision or rollback on record: when, on which dimension, what, and who was behind it."""

    at: str
    dimension: str
    outcome: str  # promote, hold, reject or rollback
    what: str
    by: str
    run: str


@translates_errors
def overview(store: Store, dimensions: Sequence[str]) -> list[InUse]:
    """What is in use and on trial on each dimension; tags that somebody removed say nothing."""
    found = [_in_use(dimension, versions(store, dimension)) for dimension in dimensions]
    found = [replace(one, night=_last_night(store, one)) if one.version else one for one in found]
    return [replace(one, on_trial=_served(store, one.dimension, one.on_trial)) for one in found]


@translates_errors
def concluded(store: Store, most: int) -> list[Concluded]:
    """The last decisions and rollbacks, newest first."""
    experiment = store.client.get_experiment_by_name(tags.DECISIONS_EXPERIMENT)
    if experiment is None:
        return []
    runs = store.client.search_runs(
        [experiment.experiment_id], order_by=["start_time DESC"], max_results=most
    )
    return [_concluded(run.data.tags, iso(run.info.start_time), run.info.run_id) for run in runs]


def _in_use(dimension: str, stored: Sequence[Version]) -> InUse:
    champion = next((v for v in stored if tags.CHAMPION in v.aliases), None)
    since, how, by, run = _since(champion, stored)
    if champion is None:
        return InUse(dimension, since=since, how=how, by=by, decision_run=run, on_trial=_on_trial(stored))
    used, decided = champion.served, decision_note(champion)
    return InUse(
        dimension,
        champion.number,
        champion.sha256,
        used.weight if used else None,
        used.guidance if used else "",
        since,
        how,
        by,
        run,
        decided.against if decided else None,
        _win_rate(champion),
        _on_trial(stored),
    )


def _last_night(store: Store, one: InUse) -> Night | None:
    """The last night of the champion; one of another champion, or at another weight, says nothing of it."""
    last = next(iter(nights(store, one.dimension, 1)), None)
    if last is None or one.weight is None:
        return None
    return last if last.use == f"{one.adapter_sha256} {one.weight!r} {one.guidance}" else None


def _since(champion: Version | None, stored: Sequence[Version]) -> tuple[str, str, str, str]:
    """Since when the version is in use, None for the base model, by what, by whom, and the run of that."""
    back = _back_to(champion.number if champion else 0, stored)
    known = champion.tags if champion else {}
    promoted = known.get(tags.PROMOTED_AT, "")
    if back and back[1].at >= promoted:
        number, note = back
        return note.at, f"a rollback from version {number}: {note.reason}", who(note.by, note.user), note.run
    if champion is None:
        return "", "", "", ""
    decided = decision_note(champion)
    how = "a promotion by hand" if decided and decided.forced else "a promotion"
    by = who(known.get(tags.PROMOTED_BY, ""), known.get(tags.PROMOTED_USER, ""))
    return promoted, how if promoted else "an alias set by hand", by, known.get(tags.DECISION_RUN, "")


def _on_trial(stored: Sequence[Version]) -> OnTrial | None:
    """The challenger, unless it is in use, was replaced, or was rolled back."""
    challenger = next((v for v in stored if tags.CHALLENGER in v.aliases), None)
    if challenger is None or standing(challenger).state != "on trial":
        return None
    decided = decision_note(challenger)
    return OnTrial(
        challenger.number,
        challenger.sha256,
        challenger.created,
        decided.outcome if decided else "",
        decided.at if decided else "",
        decided.against if decided else None,
        _win_rate(challenger),
    )


def _served(store: Store, dimension: str, trial: OnTrial | None) -> OnTrial | None:
    """The version on trial, with how it does in service where it answers a share of the requests."""
    last = next(iter(canaries(store, dimension, 1)), None) if trial else None
    if trial is None or last is None or last.trial.challenger.adapter_sha256 != trial.adapter_sha256:
        return trial
    metrics = store.client.get_run(last.run).data.metrics
    rate = f", win rate {found}" if (found := _rate(metrics)) else ", nothing judged yet"
    ended = f", {last.outcome}: {last.reason}" if last.outcome else ""
    return replace(trial, in_service=f"in service since {last.since[:10]}{rate} over the champion{ended}")


def _back_to(number: int, stored: Sequence[Version]) -> tuple[int, RollbackNote] | None:
    """The last rollback that led to a version, 0 for the base model, and the version that it came from."""
    notes = [(v.number, note) for v in stored if (note := rollback_note(v)) and note.to == number]
    return max(notes, key=lambda one: one[1].at, default=None)


def _win_rate(version: Version) -> Estimate | None:
    return _rate(noted_metrics(version))


def _rate(metrics: Mapping[str, float]) -> Estimate | None:
    wanted = (names.WIN_RATE, names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N)
    if not all(name in metrics for name in wanted):
        return None
    value, low, high, n = (metrics[name] for name in wanted)
    return Estimate(value, (low, high), int(n))


def _concluded(noted: dict[str, str], at: str, run: str) -> Concluded:
    start, end = noted.get(tags.CHAMPION_VERSION, "0"), noted.get(tags.ROLLED_BACK_TO)
    outcome, number = noted.get(tags.OUTCOME, ""), noted.get(tags.CHALLENGER_VERSION, "")
    if end is not None:
        what = f"rollback from {place(start)} to {place(end)}"
    else:
        what = f"{outcome} version {number}, against {place(start)}" if number else outcome
        carried_out = bool(number) and noted.get(tags.PROMOTED_VERSION) == number
        if outcome == "promote":
            what += "" if carried_out else ": not carried out"
        elif carried_out:
            what += ": promoted all the same"
    by = who(noted.get(tags.ACTOR, ""), noted.get(tags.USER, ""))
    return Concluded(at, noted.get(tags.DIMENSION, ""), outcome, what, by, run)

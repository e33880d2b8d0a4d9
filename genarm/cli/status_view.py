"""The status on a terminal: what waits for a person first, then what is in use, what ran, and the data."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from genarm.system.counted import counted

if TYPE_CHECKING:
    from genarm.registry.overview import InUse, OnTrial
    from genarm.watch.data import Data
    from genarm.watch.runs import Run
    from genarm.watch.status import Status

LINES = 5  # decisions and runs; --json has more
DIGITS = 12


def status_view(found: "Status") -> list[Text]:
    """The lines of all parts, each under its title."""
    parts: list[Text] = []
    if found.not_asked:
        lines = [
            f"{one.part}: {one.why}" + (f"; hint: {one.hint}" if one.hint else "") for one in found.not_asked
        ]
        parts += _part("Could not be asked", map(Text, lines))
    waits = [Text(f"{one.what}: {one.way_out}") for one in found.waiting]
    parts += _part("Waits for a person", waits or [Text("nothing that is known")])
    if found.champions is not None:
        parts += _part("In use", [line for one in found.champions for line in _in_use(one)])
    if found.decisions:
        rows = [(_when(d.at), d.dimension, d.what, d.by) for d in found.decisions[:LINES]]
        parts += _part("Decisions", _aligned(rows))
    parts += _part("Runs", _runs(found))
    if found.data:
        parts += _part("Data", map(Text, _data(found, found.data)))
    if found.published:
        parts += _part("Results", map(Text, _results(found)))
    return parts


def _in_use(one: "InUse") -> Iterator[Text]:
    what = f"version {one.version} ({one.adapter_sha256[:DIGITS]})" if one.version else "the base model alone"
    since = f", since {_when(one.since)}" if one.since else ""
    how = f", {one.how}" + (f"; by {one.by}" if one.by else "") if one.how else ""
    run = f", run {one.decision_run[:DIGITS]}" if one.decision_run else ""
    yield Text(f"{one.dimension}: {what}{since}{how}{run}")
    if one.win_rate:
        yield Text(f"  win rate {one.win_rate} over {_over(one.against)}")
    if night := one.night:
        together = f"{night.pooled} over {counted(night.nights, 'night')}"
        yield Text(f"  measured again on {night.day}: {night.win_rate} over the base, {together}")
    if one.on_trial:
        yield Text(f"  on trial: {_trial(one.on_trial)}")
        if one.on_trial.in_service:
            yield Text(f"    {one.on_trial.in_service}")


def _trial(trial: "OnTrial") -> str:
    told = f"version {trial.version} ({trial.adapter_sha256[:DIGITS]}), "
    if not trial.outcome:
        return f"{told}made {_when(trial.made)}, not decided on"
    rate = f", win rate {trial.win_rate} over {_over(trial.against)}" if trial.win_rate else ""
    return f"{told}{trial.outcome} on {_when(trial.decided)}{rate}"


def _runs(found: "Status") -> Iterator[Text]:
    known = found.runs
    if known is None:
        if not any(one.part == "runs" for one in found.not_asked):
            yield Text("no Prefect server is named, which would know of runs: export PREFECT_API_URL=...")
        return
    if known.last:
        yield from _aligned([_run(run, found.folder) for run in known.last[:LINES]])
    else:
        yield Text(f"{known.server} knows of none")
    for schedule in known.schedules:
        when = ", ".join(schedule.when) or "no active schedule"
        state = "paused" if schedule.paused else "served" if schedule.ready else "nobody serves it"
        yield Text(f"{schedule.name}: {when}; {state}")
    if known.due:
        yield Text(f"next run: {_when(known.due)}" + (", which is late" if known.late else ""))
    else:
        yield Text("next run: none is scheduled")


def _run(run: "Run", folder: str) -> tuple[str, ...]:
    elsewhere = f"in {run.folder}" if run.folder not in ("", folder) else ""
    place = f"{elsewhere} on {run.host}".strip() if run.host and elsewhere else elsewhere
    return (_when(run.started), run.state, run.name, f"{run.seconds:.0f} s", place)


def _data(found: "Status", data: "Data") -> Iterator[str]:
    if not data.version:
        yield "no data version yet: genarm data SOURCE"
    else:
        how = "committed" if data.committed else "changed here, not committed,"
        yield f"version {data.version[:DIGITS]}, {how} {_when(data.since)}, {_age(found.at, data.since)} ago"
    for source in data.sources:
        asked = f"asked {_when(source.asked)}: {source.state}" if source.asked else "never asked from here"
        yield f"{source.source} ({', '.join(source.dimensions)}): {asked}"


def _results(found: "Status") -> Iterator[str]:
    state = found.published
    if state is None or not state.asked_for:
        yield "params.yaml asks for nothing to be published"
        return
    yield "something is left to publish" if state.open else "published, as far as this clone knows"
    yield from state.done


def _part(title: str, lines: Iterable[Text]) -> list[Text]:
    return [Text(title, style="bold"), *(Text.assemble("  ", line) for line in lines)]


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[Text]:
    """Rows as lines whose columns begin below one another; a table would break long ones."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield Text("  ".join(cells).rstrip())


def _over(number: int | None) -> str:
    return f"version {number}" if number else "the base model"


def _when(time: str) -> str:
    return f"{time[:10]} {time[11:16]} UTC" if time else "-"


def _age(now: str, then: str) -> str:
    """A time span in its largest unit: `3 days`."""
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(then)).total_seconds()
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return counted(int(seconds // size), unit)
    return counted(max(0, int(seconds)), "second")

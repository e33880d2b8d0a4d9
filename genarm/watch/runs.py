"""What a Prefect server knows of a project's flows: the last runs, the next one, and who waits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genarm.system.redact import redact
from genarm.watch.prefect_api import Api

FLOWS = ("refresh", "align", "version-data")
BEGUN = ("RUNNING", "PENDING", "PAUSED", "CANCELLING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")
LAST = 20  # runs
ROOT, HOST = "genarm.root", "genarm.host"  # labels that runs give themselves


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a flow; times in UTC, empty where there is none yet.

    `folder` and `host` are where it runs, as far as it has said so; `outcome` is the message of its state.
    """

    id: str
    flow: str
    name: str
    state: str
    started: str = ""
    ended: str = ""
    seconds: float = 0.0
    outcome: str = ""
    folder: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A deployment: when it runs, and whether something would run it."""

    name: str
    when: Sequence[str]
    paused: bool
    ready: bool  # whether a process or worker has shown itself lately


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of this project's flows, newest first; on a shared server also those of other folders.

    `due` is when the next run is due, empty for never, and `late` says whether that is over a minute ago.
    """

    server: str
    last: Sequence[Run]
    schedules: Sequence[Schedule]
    due: str = ""
    late: bool = False

    def here(self, root: Path) -> list[Run]:
        """Those of this folder, and those that have not said of which."""
        return [run for run in self.last if run.folder in ("", str(root.resolve()))]

    @property
    def paused(self) -> list[Run]:
        """Those that wait for a person."""
        return [run for run in self.last if run.state in ("Paused", "Suspended")]


def ask(api: Api) -> Runs:
    """Ask a server in four questions. Raises as `Api.ask`."""
    flows = {"name": {"any_": list(FLOWS)}}
    names = {row["id"]: row["name"] for row in api.ask("/flows/filter", {"flows": flows})}
    begun = {"state": {"type": {"any_": list(BEGUN)}}}
    last = api.ask(
        "/flow_runs/filter",
        {"flows": flows, "flow_runs": begun, "sort": "START_TIME_DESC", "limit": LAST},
    )
    scheduled = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    coming = api.ask(
        "/flow_runs/filter",
        {"flows": flows, "flow_runs": scheduled, "sort": "NEXT_SCHEDULED_START_TIME_ASC", "limit": 1},
    )
    deployments = api.ask("/deployments/filter", {"flows": flows})
    due = (
        _time(coming[0].get("next_scheduled_start_time") or coming[0].get("expected_start_time"))
        if coming
        else ""
    )
    late = bool(due) and (datetime.now(UTC) - datetime.fromisoformat(due)).total_seconds() > 60
    return Runs(
        api.shown,
        [_run(row, names) for row in last],
        [_schedule(row, names) for row in deployments],
        due,
        late,
    )


def _run(row: Mapping[str, Any], names: Mapping[str, str]) -> Run:
    labels, state = row.get("labels") or {}, row.get("state") or {}
    folder = labels.get(ROOT) or (row.get("parameters") or {}).get("root") or ""
    return Run(
        row["id"],
        names.get(row["flow_id"], ""),
        row["name"],
        state.get("name") or row.get("state_name") or "",
        _time(row.get("start_time")),
        _time(row.get("end_time")),
        round(float(row.get("total_run_time") or 0), 1),
        redact(state.get("message") or ""),
        str(folder),
        str(labels.get(HOST) or ""),
    )


def _schedule(row: Mapping[str, Any], names: Mapping[str, str]) -> Schedule:
    active = [entry["schedule"] for entry in row.get("schedules") or [] if entry.get("active")]
    return Schedule(
        f"{names.get(row['flow_id'], '')}/{row['name']}",
        [_when(schedule) for schedule in active],
        bool(row.get("paused")),
        row.get("status") == "READY",
    )


def _when(schedule: Mapping[str, Any]) -> str:
    if cron := schedule.get("cron"):
        return f"{cron} {schedule.get('timezone') or 'UTC'}"
    if "interval" in schedule:
        return f"every {schedule['interval']} s"
    return str(schedule.get("rrule", ""))


def _time(text: str | None) -> str:
    """A time of Prefect as all others here are written: in UTC, by the second."""
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds") if text else ""

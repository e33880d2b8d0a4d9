"""The status as metrics of Prometheus, in a file that node_exporter's textfile collector reads."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.errors import ConfigError
from genarm.watch.status import PARTS, Status

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge

ENDING = ".prom"  # other files are not collected


def check(path: Path) -> None:
    """Refuse a file that would not be collected, and a missing library. Raises ConfigError."""
    if path.suffix != ENDING:
        raise ConfigError(
            f"{path} does not end in {ENDING}, and node_exporter reads no other files",
            hint=f"name it {path.with_suffix(ENDING).name}",
        )
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ConfigError(
            "metrics need prometheus_client, which is not installed",
            hint="python -m pip install 'genarm[serve]'",
        ) from None


def write(found: Status, path: Path) -> None:
    """Write all metrics, completely or not at all. Raises ConfigError as `check`."""
    check(path)
    from prometheus_client import write_to_textfile

    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), collected(found))


def collected(found: Status) -> "CollectorRegistry":
    """The gauges of a status; a part that could not be asked has no samples."""
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()

    def gauge(name: str, text: str, *labels: str) -> "Gauge":
        return Gauge(f"genarm_{name}", text, labels, registry=registry)

    gauge("status_timestamp_seconds", "When these metrics were written.").set(_seconds(found.at))
    unread = gauge("status_unread", "Whether a part of the status could not be asked.", "part")
    for part in PARTS:
        unread.labels(part).set(any(one.part == part for one in found.not_asked))
    gauge("waiting", "Things that wait for a person.").set(len(found.waiting))
    version = gauge("champion_version", "The version in use, 0 for the base model alone.", "dimension")
    info = gauge("champion_info", "1 for the version in use.", "dimension", "version", "adapter")
    since = gauge("champion_since_timestamp_seconds", "Since when it is in use.", "dimension")
    rate = gauge("champion_win_rate_ratio", "Its win rate in the last decision on it.", "dimension")
    lower = gauge("champion_win_rate_lower_ratio", "Lower end of its 95% interval.", "dimension")
    upper = gauge("champion_win_rate_upper_ratio", "Upper end of its 95% interval.", "dimension")
    prompts = gauge("champion_win_rate_prompts", "Prompts behind it.", "dimension")
    trial = gauge("challenger_version", "The version on trial, 0 for none.", "dimension")
    for one in found.champions or ():
        version.labels(one.dimension).set(one.version)
        info.labels(one.dimension, str(one.version), one.adapter_sha256[:12]).set(1)
        trial.labels(one.dimension).set(one.on_trial.version if one.on_trial else 0)
        if one.since:
            since.labels(one.dimension).set(_seconds(one.since))
        if measured := one.win_rate:
            rate.labels(one.dimension).set(measured.value)
            lower.labels(one.dimension).set(measured.interval[0])
            upper.labels(one.dimension).set(measured.interval[1])
            prompts.labels(one.dimension).set(measured.n)
    nightly = gauge(
        "watch_win_rate_ratio", "The champion's win rate over the base, last nights.", "dimension"
    )
    bound = gauge("watch_win_rate_upper_ratio", "Upper end of its 95% interval.", "dimension")
    on = gauge("watch_timestamp_seconds", "When it was measured last.", "dimension")
    worse = gauge("watch_worse", "Whether it was shown to win too seldom.", "dimension")
    for one in found.champions or ():
        if night := one.night:
            nightly.labels(one.dimension).set(night.pooled.value)
            bound.labels(one.dimension).set(night.pooled.interval[1])
            on.labels(one.dimension).set(_seconds(night.at))
            worse.labels(one.dimension).set(night.worse)
    decided = gauge("last_decision_timestamp_seconds", "The last of its kind.", "dimension", "outcome")
    for decision in reversed(found.decisions or ()):  # oldest first, so that the newest stays
        decided.labels(decision.dimension, decision.outcome).set(_seconds(decision.at))
    if found.differences is not None:
        gauge("champions_differences", "Lines of mlflow/champions.json that differ from the registry.").set(
            len(found.differences)
        )
    _of_runs(found, gauge("flow_last_end_timestamp_seconds", "The last end of a run.", "flow", "state"),
             gauge("flow_last_duration_seconds", "How long that run took.", "flow", "state"))  # fmt: skip
    if found.runs and found.runs.server:
        due = gauge("next_run_timestamp_seconds", "When the next run is due, 0 for never.")
        due.set(_seconds(found.runs.due))
        gauge("paused_runs", "Runs that wait for a person.").set(len(found.runs.paused))
    if found.data:
        changed = gauge("data_timestamp_seconds", "Since when the data version is in use.", "version")
        if found.data.version:
            changed.labels(found.data.version[:12]).set(_seconds(found.data.since))
        gauge("data_held", "Whether new data waits for a person.").set(found.data.waiting is not None)
        asked = gauge("source_asked_timestamp_seconds", "When a source was last asked.", "source")
        failed = gauge("source_failed", "Whether it could not be asked then.", "source")
        for source in found.data.sources:
            if source.asked:
                asked.labels(source.source).set(_seconds(source.asked))
                failed.labels(source.source).set(source.state.startswith("failed"))
    if found.published and found.published.asked_for:
        gauge("unpublished", "Whether results are left to publish.").set(found.published.open)
    return registry


def _of_runs(found: Status, ended: "Gauge", took: "Gauge") -> None:
    for run in reversed(found.runs.last if found.runs else ()):
        if run.ended:
            ended.labels(run.flow, run.state).set(_seconds(run.ended))
            took.labels(run.flow, run.state).set(run.seconds)


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp() if time else 0.0

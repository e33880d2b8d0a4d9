"""Champions measured again: a run of the experiment `genarm/watch` for each night and dimension."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genarm.registry import tags
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import iso
from genarm.system import metric_names as names
from genarm.types import Champion, Comparison, Estimate

if TYPE_CHECKING:
    from mlflow.entities import Run

# Metrics of such a run beside the win rate of its night: that of several nights, and what it shows.
POOLED, POOLED_NIGHTS, WORSE = "pooled_", "pooled_nights", "worse"
OF_RATE = (names.WIN_RATE, names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N)
MOST = 1000


@dataclass(frozen=True, slots=True)
class Night:
    """One measurement of a champion against the base: on which day, and the how-manieth of its dimension.

    `pooled` takes `nights` of them together, this one being the last; `worse` says whether the champion was
    then shown to win too seldom.
    """

    dimension: str
    day: str
    number: int
    version: int
    use: str  # its adapter, weight and guidance: what else is another champion
    win_rate: Estimate
    pooled: Estimate
    nights: int
    worse: bool
    at: str = ""
    run: str = ""


def use_of(champion: Champion) -> str:
    """What identifies a champion as it is in use."""
    return f"{champion.adapter_sha256} {champion.weight!r} {champion.guidance}"


@translates_errors
def log_night(store: Store, night: Night, compared: Comparison) -> str:
    """Record a night; the id of its run."""
    from mlflow.entities import Metric

    experiment = store.experiment(tags.WATCH_EXPERIMENT)
    known = {
        tags.DIMENSION: night.dimension,
        tags.NIGHT: night.day,
        tags.NIGHT_NUMBER: str(night.number),
        tags.CHAMPION_VERSION: str(night.version),
        tags.USE: night.use,
    }
    metrics = {
        **_rate(night.win_rate, ""),
        **_rate(night.pooled, POOLED),
        POOLED_NIGHTS: night.nights,
        WORSE: night.worse,
        "wins": compared.wins,
        "ties": compared.ties,
        "losses": compared.losses,
        "unread": compared.unread,
    }
    run = store.client.create_run(experiment, run_name=f"{night.dimension}: {night.day}", tags=known)
    rows = [Metric(name, float(value), run.info.start_time, 0) for name, value in metrics.items()]
    store.client.log_batch(run.info.run_id, metrics=rows)
    store.client.set_terminated(run.info.run_id, "FINISHED")  # one that was cut short before this is no night
    return str(run.info.run_id)


@translates_errors
def nights(store: Store, dimension: str, most: int = MOST) -> list[Night]:
    """The nights of a dimension, the last one first, however its clock may have jumped."""
    experiment = store.client.get_experiment_by_name(tags.WATCH_EXPERIMENT)
    if experiment is None:
        return []
    runs = store.client.search_runs(
        [experiment.experiment_id],
        f"tags.`{tags.DIMENSION}` = '{dimension}' and attributes.status = 'FINISHED'",
        order_by=["start_time DESC"],
        max_results=most,
    )
    return sorted((_night(run) for run in runs), key=lambda night: -night.number)


def _rate(rate: Estimate, head: str) -> dict[str, float]:
    values: Sequence[float] = (rate.value, *rate.interval, rate.n)
    return {f"{head}{name}": value for name, value in zip(OF_RATE, values, strict=True)}


def _night(run: "Run") -> Night:
    known, metrics = run.data.tags, run.data.metrics

    def rate(head: str) -> Estimate:
        value, low, high, n = (metrics[f"{head}{name}"] for name in OF_RATE)
        return Estimate(value, (low, high), int(n))

    return Night(
        known[tags.DIMENSION],
        known[tags.NIGHT],
        int(known[tags.NIGHT_NUMBER]),
        int(known[tags.CHAMPION_VERSION]),
        known[tags.USE],
        rate(""),
        rate(POOLED),
        int(metrics[POOLED_NIGHTS]),
        bool(metrics[WORSE]),
        iso(run.info.start_time),
        run.info.run_id,
    )

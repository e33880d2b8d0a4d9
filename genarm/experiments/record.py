"""The results of an experiment as MLflow keeps them: metrics and settings by method."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genarm.experiments.results import Row
from genarm.experiments.tables import Results
from genarm.registry import Registry
from genarm.system import metric_names as names
from genarm.system.files import read_json
from genarm.types import Estimate


def record(store: Registry, results: Path) -> str:
    """Log what the unit `table` wrote, one run and one below it a method; the id of the first."""
    found = read_json(results / "results.json", Results)
    first = next(iter(found.judges))
    metrics = {row.name: metrics_of(row, first) for row in found.rows}
    params: dict[str, Mapping[str, object]] = {
        row.name: {"method": row.method, **_settings(row.settings)} for row in found.rows
    }
    note = "\n".join(f"- {c.subject} {c.kind} {c.other}: **{c.verdict}**, {c.why}" for c in found.claims)
    return store.record_comparison(found.name, results, metrics=metrics, params=params, note=note)


def metrics_of(row: Row, first: str) -> dict[str, float]:
    """The numbers of one row that are finite, under the names that they have everywhere."""
    found: dict[str, float] = {
        names.KL: row.kl,
        names.PERPLEXITY: row.perplexity,
        names.REPETITION: row.repetition,
        names.MEAN_TOKENS: row.tokens,
        "distinct_2": row.distinct_2,
        "train/seconds": row.training_seconds,
    }
    for over, rate in row.over.items():
        end = "" if over == "base" else f"/{over}"
        found |= {f"{name}{end}": value for name, value in _rate(rate.by[first]).items()}
        found[f"{names.P_ADJUSTED}{end}"] = rate.p_adjusted
    for column, gain in row.gains.items():
        found[f"gain/{column.replace(' ', '_')}"] = gain.value
    for batch, seconds in (row.speed.seconds if row.speed else {}).items():
        found[f"seconds_128_tokens/batch_{batch}"] = seconds
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _rate(found: Estimate) -> dict[str, float]:
    low, high = found.interval
    return {
        names.WIN_RATE: found.value,
        names.WIN_RATE_LOWER: low,
        names.WIN_RATE_UPPER: high,
        names.WIN_RATE_N: float(found.n),
    }


def _settings(settings: Mapping[str, Any]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if value is not None}

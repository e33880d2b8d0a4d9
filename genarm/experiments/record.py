"""The results of an experiment as MLflow keeps them: metrics and settings by method, and by trained model."""

import math
from collections.abc import Mapping
from typing import Any

from genarm.experiments.load import Experiment
from genarm.experiments.results import Row
from genarm.experiments.tables import Results
from genarm.registry import Registry
from genarm.registry.comparisons import Trained
from genarm.system import metric_names as names
from genarm.system.files import read_curves, read_json
from genarm.types import Estimate

CONTROLLED = "win_rate_length_controlled"  # if both responses were equally long


def record(store: Registry, experiment: Experiment) -> str:
    """Log what the unit `table` wrote, and below its run one a method and one a training; its id."""
    results = experiment.place.results
    found = read_json(results / "results.json", Results)
    first = next(iter(found.judges))
    metrics = {row.name: metrics_of(row, first) for row in found.rows}
    params: dict[str, Mapping[str, object]] = {
        row.name: {"method": row.method, **_settings(row.settings)} for row in found.rows
    }
    note = "\n".join(f"- {c.subject} {c.kind} {c.other}: **{c.verdict}**, {c.why}" for c in found.claims)
    trained = trainings(experiment, [model.name for model in found.models])
    return store.record_comparison(
        found.name, results, metrics=metrics, params=params, trained=trained, note=note
    )


def trainings(experiment: Experiment, models: list[str]) -> list[Trained]:
    """The trainings of some models, one with each seed, with the numbers and the curves that are finite."""
    return [
        Trained(
            model,
            seed,
            _finite(read_json(experiment.place.training(model, seed), dict[str, float])),
            {"trainer": experiment.config.models[model].trainer, **experiment.model_settings(model)},
            [_finite(row) for row in read_curves(experiment.place.curves(model, seed))],
        )
        for model in models
        for seed in experiment.model_seeds(model)
    ]


def metrics_of(row: Row, first: str) -> dict[str, float]:
    """The numbers of one row that are finite, under the names that they have everywhere."""
    found: dict[str, float] = {
        names.PERPLEXITY: row.perplexity,
        names.REPETITION: row.repetition,
        names.MEAN_TOKENS: row.tokens,
        "distinct_2": row.distinct_2,
        "train/seconds": row.training_seconds,
        "train/pairs": row.training_pairs,
        "train/responses": row.training_responses,
    }
    if row.kl_bound is None:
        found[names.KL] = row.kl
    else:  # what was measured is the KL of the responses as drawn, which is not the row's
        found["kl_bound"] = row.kl_bound
    if row.extra_memory is not None:
        found["extra_memory_mib"] = row.extra_memory / 2**20
    for over, rate in row.over.items():
        end = "" if over == "base" else f"/{over}"
        numbers = _rate(rate.by[first]) | _controlled(rate.controlled)
        found |= {f"{name}{end}": value for name, value in numbers.items()}
        found[f"{names.P_ADJUSTED}{end}"] = rate.p_adjusted
    for column, gain in row.gains.items():
        found[f"gain/{column.replace(' ', '_')}"] = gain.value
    for batch, seconds in (row.speed.seconds if row.speed else {}).items():
        found[f"seconds_128_tokens/batch_{batch}"] = seconds
    found |= {f"tokens_read/{part}": read for part, read in row.passes.items()}
    return _finite(found)


def _finite(found: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _rate(found: Estimate) -> dict[str, float]:
    low, high = found.interval
    return {
        names.WIN_RATE: found.value,
        names.WIN_RATE_LOWER: low,
        names.WIN_RATE_UPPER: high,
        names.WIN_RATE_N: float(found.n),
    }


def _controlled(found: Estimate | None) -> dict[str, float]:
    """Of too few prompts there is none."""
    if found is None:
        return {}
    low, high = found.interval
    return {CONTROLLED: found.value, f"{CONTROLLED}_lower": low, f"{CONTROLLED}_upper": high}


def _settings(settings: Mapping[str, Any]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if value is not None}

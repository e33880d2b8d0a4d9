"""What MLflow has of an experiment: all numbers of a row, and a run for each training."""

import pytest
import toy_experiment as toy
from written_units import write_units

from genarm import registry
from genarm.experiments.output import write_results
from genarm.experiments.record import metrics_of, record
from genarm.experiments.results import Rate, Row
from genarm.experiments.speed import Speed
from genarm.registry import tags
from genarm.types import Estimate

NAN = float("nan")


def row(**changed):
    """A made-up row with every number."""
    won, controlled = Estimate(0.6, (0.5, 0.7), 80), Estimate(0.55, (0.45, 0.65), 80)
    rate = Rate({"positive by gold": won}, controlled, 0.01, 0.02, 0)
    given = {
        "name": "rloo",
        "method": "adapter",
        "settings": {},
        "seeds": 1,
        "prompts": 80,
        "over": {"base": rate, "dpo": Rate({"positive by gold": won}, None, NAN, NAN, 0)},
        "rewards": {},
        "gains": {"positive by held out": Estimate(0.3, (0.1, 0.5), 80)},
        "kl": 0.25,
        "perplexity": 5.0,
        "distinct_2": 0.5,
        "repetition": NAN,
        "tokens": 30.0,
        "speed": Speed({1: 0.4}, {}),
        "extra_memory": 3 * 2**20,
        "passes": {"base": 1.5, "reward": 30.0},
        "training_seconds": 60.0,
        "training_pairs": 16.0,
        "training_responses": 960.0,
        "tuned": None,
    }
    return Row(**(given | changed))


def test_every_number_of_a_row_has_its_name_and_what_was_not_measured_none():
    assert metrics_of(row(), "positive by gold") == {
        **{"win_rate": 0.6, "win_rate_lower": 0.5, "win_rate_upper": 0.7, "win_rate_n": 80.0},
        **{"win_rate_length_controlled": 0.55, "win_rate_length_controlled_lower": 0.45},
        **{"win_rate_length_controlled_upper": 0.65, "p_adjusted": 0.02},
        **{"win_rate/dpo": 0.6, "win_rate_lower/dpo": 0.5, "win_rate_upper/dpo": 0.7},
        **{"win_rate_n/dpo": 80.0, "gain/positive_by_held_out": 0.3},
        **{"kl": 0.25, "perplexity": 5.0, "distinct_2": 0.5, "mean_tokens": 30.0},
        **{"tokens_read/base": 1.5, "tokens_read/reward": 30.0, "extra_memory_mib": 3.0},
        **{"seconds_128_tokens/batch_1": 0.4},
        **{"train/seconds": 60.0, "train/pairs": 16.0, "train/responses": 960.0},
    }
    assert "extra_memory_mib" not in metrics_of(row(extra_memory=None), "positive by gold")


def test_the_best_of_n_is_recorded_by_its_bound():
    found = metrics_of(row(kl=0.0, kl_bound=1.835), "positive by gold")
    assert found["kl_bound"] == 1.835 and "kl" not in found


@pytest.mark.slow
def test_each_training_has_a_run_below_that_of_the_experiment_once(loaded, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    experiment = loaded(toy.toy_experiment(), "recorded")
    write_units(experiment, {}, training={"arm": {"train/seconds": 9.0, "validation/accuracy": NAN}})
    write_results(experiment)
    store = registry.connect(tmp_path)
    parent = record(store, experiment)
    assert record(store, experiment) == parent
    runs = store.client.search_runs([store.experiment(tags.COMPARE_EXPERIMENT)])
    below = {run.info.run_name: run for run in runs if run.data.tags.get(tags.PARENT_RUN) == parent}
    assert set(below) == {"base", "guided", "sharpened", "arm-0", "arm-1"} and len(runs) == 6
    trained = {name for name, run in below.items() if run.data.tags.get(tags.TRAINED_MODEL) == "arm"}
    assert trained == {"arm-0", "arm-1"}
    assert below["arm-1"].data.metrics == {"train/seconds": 9.0, "loss": 0.5, "eval/loss": 0.6}, (
        "the last ones"
    )
    history = store.client.get_metric_history(below["arm-1"].info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.7), (2, 0.5)]
    params = below["arm-1"].data.params
    assert params["seed"] == "1" and params["trainer"] == "arm" and params["train.epochs"] == "8.0"

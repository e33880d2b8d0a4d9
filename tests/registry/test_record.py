"""What MLflow remembers of a decision: numbers, and a page that says why, and by whom."""

import dataclasses

import pytest
from registry_toys import DIMENSION, MakeArm, decision, promote, register

from genarm.registry import Registry
from genarm.registry.user import user_name

MEASURED = {
    "win_rate": 0.71,
    "win_rate_lower": 0.6,
    "win_rate_upper": 0.8,
    "win_rate_n": 100.0,
    "p_value": 0.001,
    "p_adjusted": 0.002,
    "win_rate/plain": 0.52,
    "win_rate_lower/plain": 0.42,
    "win_rate_upper/plain": 0.62,
    "win_rate_n/plain": 100.0,
    "win_rate/held_out": 0.61,
    "win_rate_lower/held_out": 0.51,
    "win_rate_upper/held_out": 0.7,
    "win_rate_n/held_out": 100.0,
    "perplexity": 7.5,
    "kl": 0.4,
}


@pytest.fixture(autouse=True)
def ada(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)


def page(store: Registry, version: int) -> str:
    return str(store.client.get_model_version("genarm-positive", str(version)).description)


def test_the_numbers_of_a_decision_are_on_its_run_the_version_and_the_model(
    store: Registry, make_arm: MakeArm
) -> None:
    store.register(
        DIMENSION,
        make_arm(0),
        metrics={
            "validation/accuracy": 0.7,
            "validation/longer_is_chosen": 0.55,
            "validation/implicit_accuracy": 0.6,
        },
    )
    held = decision(store, make_arm(0), "hold")
    ids = [store.record_decision(held, metrics=MEASURED, actor="f-1") for _ in range(2)]
    assert ids[0] == ids[1]
    expected = MEASURED | {"eval/rewards/accuracies": 0.7, "eval/longer_is_chosen": 0.55}
    expected["eval/implicit_accuracy"] = 0.6
    run = store.client.get_run(ids[0])
    assert run.data.metrics == expected and run.data.tags["mlflow.user"] == "ada"
    assert len(store.client.get_metric_history(ids[0], "win_rate")) == 1
    shown = store.show(DIMENSION, 1)
    assert expected.items() <= shown["metrics"].items()
    model = store.client.get_logged_model(shown["model_id"])
    assert {m.key: m.value for m in model.metrics if m.run_id == ids[0]} == expected

    again = dataclasses.replace(held, outcome="promote", reasons=["win rate 0.75"])
    later = store.record_decision(again, metrics={"win_rate": 0.75, "perplexity": 8.0})
    assert later != ids[0]
    shown = store.show(DIMENSION, 1)
    assert shown["metrics"]["win_rate"] == 0.75 and "win_rate/plain" not in shown["metrics"]
    assert [event["what"] for event in shown["trail"]] == [
        "hold, against the base model",
        "promote, against the base model",
    ]
    assert store.list([DIMENSION])[0]["win_rate"] == 0.75


def test_the_page_of_a_version_says_why_it_is_in_use_and_why_no_longer(
    store: Registry, make_arm: MakeArm
) -> None:
    for n in (0, 1):
        register(store, make_arm(n))
        promote(store, make_arm(n), metrics=MEASURED)
    new, old = page(store, 2), page(store, 1)
    assert new.startswith("The champion, promoted on 20") and "by ada (test)." in new
    assert "- win rate 0.71" in new and "against [version 1](#/models/genarm-positive/versions/1)" in new
    assert "win_rate on plain: 0.52 [0.42, 0.62] n=100" in new
    assert "win_rate by the held-out judge: 0.61 [0.51, 0.70] n=100" in new
    run_id = store.show(DIMENSION)["decision"]["run"]
    assert f"/runs/{run_id})" in new
    assert (
        "[version 2](#/models/genarm-positive/versions/2)"
        in store.client.get_run(run_id).data.tags["mlflow.note.content"]
    )
    assert "No longer the champion" in old and "replaced by version 2 on 20" in old

    store.rollback(DIMENSION, "answers too long", actor="operator")
    assert page(store, 1).startswith("The champion, promoted on 20")
    rolled_back = page(store, 2)
    assert rolled_back.startswith("No longer the champion: rolled back to version 1 on 20")
    assert "by ada (operator): answers too long." in rolled_back and "- win rate 0.71" in rolled_back
    trail = store.show(DIMENSION, 2)["trail"]
    assert [(event["what"], event["by"]) for event in trail] == [
        ("promote, against version 1: promoted", "ada (test)"),
        ("rollback from version 2 to version 1", "ada (operator)"),
    ]


def test_experiments_are_described_once_and_what_somebody_wrote_stays(store: Registry) -> None:
    number = store.experiment("genarm/decisions")
    known = store.client.get_experiment(number).tags
    assert "Each row is a decision" in known["mlflow.note.content"]
    assert f"#/experiments/{number}/runs?viewStateShareKey=genarm" in known["mlflow.note.content"]
    assert "metrics.`win_rate`" in known["mlflow.sharedViewState.genarm"]
    store.client.set_experiment_tag(number, "mlflow.note.content", "ours")
    store.experiment("genarm/decisions")
    assert store.client.get_experiment(number).tags["mlflow.note.content"] == "ours"


def test_a_user_is_called_as_on_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_name() == "ada"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "grace")
    assert user_name() == "grace"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "0123456789abcdef")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "0123456789abcdef")
    assert user_name() == "ada", "a token in the place of the name is shown to nobody"

"""Trained judges in the registry: a version each, whole or refused, and nothing left of a crash."""

import pytest
from toy_rewards import llama, save

from genarm import registry
from genarm.errors import JudgeError, RegistryError
from genarm.models.judge_folder import JudgeCard, write_judge
from genarm.registry import tags
from genarm.system.env import local_tracking_uri


def judge_folder(folder, seed=0):
    save(folder, llama(seed))
    card = JudgeCard(
        dimension="kind",
        sha256="",
        model_id="toy",
        model_revision=None,
        model_weights_sha256="w" * 64,
        pairs_sha256="p" * 64,
        data_md5="d" * 32,
        git_commit=None,
        max_tokens=64,
        params={"layers": 2, "pairs": {"seed": 0}},
        metrics={"accuracy": 0.6},
    )
    write_judge(folder, card, {"0" * 16})
    return folder


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_tracking_uri(tmp_path))
    return registry.connect(tmp_path)


def runs(store):
    return store.client.search_runs([store.experiment(tags.JUDGES_EXPERIMENT)])


def test_a_crash_before_the_version_is_made_good_by_the_next_attempt(store, tmp_path, monkeypatch):
    folder = judge_folder(tmp_path / "judge")
    with monkeypatch.context() as patch:
        patch.setattr(type(store.client), "create_model_version", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.register_judge(folder)
    assert len(runs(store)) == 1
    curves = [{"step": 1.0, "loss": 0.7}, {"step": 2.0, "loss": 0.6}]
    assert store.register_judge(folder, curves=curves) == 1 == store.register_judge(folder)
    (run,) = runs(store)
    assert run.data.metrics == {"loss": 0.6, "accuracy": 0.6} and run.info.status == "FINISHED"
    assert run.data.params == {"layers": "2", "pairs.seed": "0"}
    assert store.register_judge(judge_folder(tmp_path / "other", seed=1)) == 2


def test_what_is_fetched_is_what_was_registered_or_refused(store, tmp_path):
    folder = judge_folder(tmp_path / "judge")
    number = store.register_judge(folder)
    fetched = store.fetch_judge("kind", number, tmp_path / "fetched")
    assert {f.name: f.read_bytes() for f in fetched.iterdir()} == {
        f.name: f.read_bytes() for f in folder.iterdir()
    }
    (run,) = runs(store)
    stored = tmp_path / "mlflow" / "store" / "judges" / run.info.run_id / "artifacts" / "judge"
    (stored / "config.json").write_text("{}")
    with pytest.raises(JudgeError, match=r"judge\.json says"):
        store.fetch_judge("kind", number, tmp_path / "again")
    for file in stored.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(RegistryError, match="gone"):
        store.fetch_judge("kind", number, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_an_altered_folder_is_not_registered(store, tmp_path):
    folder = judge_folder(tmp_path / "judge")
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(JudgeError, match=r"judge\.json says"):
        store.register_judge(folder)
    assert not runs(store)

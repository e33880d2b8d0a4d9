"""Stages on other machines, as far as no server is needed: who runs what, what is sent, who may run it."""

import pytest
from published_project import IN_USE, Place, make
from toy_params import dimension

from genarm.config import PoolsConfig
from genarm.data.dvc_elsewhere import NOT_HERE, RESTORE_ONLY
from genarm.errors import PipelineError
from genarm.pipeline.batches import in_batches
from genarm.pipeline.elsewhere import refuse_to_run, versions
from genarm.pipeline.elsewhere.clone import WORK, clone_of
from genarm.pipeline.elsewhere.job import Job, job_of
from genarm.pipeline.preflight.pools import pools
from genarm.pipeline.project import Project
from genarm.system.files import write_json

MEASURING = ["prompts", "respond-base", "respond@a", "respond-champion@a", "judge@a", "respond@b", "judge@b"]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    monkeypatch.setenv(WORK, str(tmp_path / "work"))
    return make(tmp_path)


def made(place: Place) -> Job:
    return job_of(Project(place.root), "train@kind", ["pairs@kind"])


def test_a_pool_stands_for_the_stages_of_its_kind():
    config = PoolsConfig(train="gpu", respond="gpu", judge="cpu")
    of = {name: config.of(name) for name in ("train@a", "tune@a", "judge@a", "pairs@a", "decide", "data.dvc")}
    assert of == {
        "train@a": "gpu", "tune@a": None, "judge@a": "cpu", "pairs@a": None, "decide": None, "data.dvc": None
    }  # fmt: skip
    assert {config.of(n) for n in ("respond-base", "respond@a", "respond-champion@a")} == {"gpu"}
    assert config.named == ["gpu", "cpu"] and PoolsConfig().named == []


def test_without_pools_stages_keep_their_order_with_any_those_of_a_kind_go_together():
    assert in_batches(MEASURING, PoolsConfig()) == [[name] for name in MEASURING]
    assert in_batches(MEASURING, PoolsConfig(train="gpu")) == [
        ["prompts"],
        ["respond-base", "respond@a", "respond-champion@a", "respond@b"],
        ["judge@a", "judge@b"],
    ]


def test_a_clone_has_the_commit_and_what_the_run_has_written_since(place):
    place.decide(1)
    (place.root / "mlflow" / "looks.json").unlink()
    sent = made(place)
    assert set(sent.files) == {
        "data.dvc", "dvc.lock", "mlflow/champions.json", "mlflow/incumbents.json", "mlflow/starts.json"
    }  # fmt: skip
    with clone_of(sent) as one, clone_of(sent) as two:
        assert one != two, "one run has a clone for itself"
        for root in (one, two):
            assert place.git("-C", str(root), "rev-parse", "HEAD") == sent.commit
            assert (root / "code.py").read_text() == "x = 1\n"
            assert not (root / "mlflow" / "looks.json").exists(), "the run does not have it"
            assert {name: (root / name).read_text() for name in sent.files} == sent.files
        (one / "code.py").write_text("x = 2\n")
    with clone_of(sent) as again:
        assert again == one and (again / "code.py").read_text() == "x = 1\n"


def test_the_same_work_has_one_digest(place):
    before = made(place)
    assert made(place).digest == before.digest
    place.decide(1)
    assert made(place).digest != before.digest


def test_what_workers_could_not_have_is_refused(place, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_json(
        place.root / "params.yaml",
        {"base": {"model": "x"}, "dimensions": {"kind": dimension("a")}, "pools": {"train": "gpu"}},
    )
    found = {r.detail: r.fix for r in pools(Project(place.root))}
    assert any("no default DVC remote" in detail for detail in found)
    assert any("1 file differs from it (params.yaml)" in detail for detail in found)
    place.git("commit", "--quiet", "-am", "a pool")
    (unpushed,) = (r for r in pools(Project(place.root)) if "DVC" not in r.detail)
    assert "is not known to be at origin" in unpushed.detail and unpushed.fix == "git push origin HEAD"
    sent = made(place)
    with pytest.raises(PipelineError, match=f"has no commit {sent.commit[:12]}"), clone_of(sent):
        pass
    place.git("push", "--quiet")
    assert not [r for r in pools(Project(place.root)) if "DVC" not in r.detail]
    place.decide(1, IN_USE)
    assert not [r for r in pools(Project(place.root)) if "registry" in r.detail], "workers only train"
    write_json(
        place.root / "params.yaml",
        {"base": {"model": "x"}, "dimensions": {"kind": dimension("a")}, "pools": {"respond": "gpu"}},
    )
    (told,) = (r for r in pools(Project(place.root)) if "registry" in r.detail)
    assert told.status == "warn" and "champion of kind" in told.detail
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    assert not [r for r in pools(Project(place.root)) if "registry" in r.detail]
    place.git("remote", "set-url", "origin", "https://me:hunter2@git.example.org/team/project.git")
    with pytest.raises(PipelineError, match="holds a login") as refused:
        made(place)
    assert "hunter2" not in str(refused.value)


def test_other_versions_are_named_and_builds_of_one_release_are_the_same(place):
    (place.root / "constraints.txt").write_text(
        "# tested\nTorch==1.0 # any\nruamel.yaml==0.1\nnobody-has==1\n"
    )
    names = versions.pinned(place.root)
    assert names == ["nobody-has", "ruamel-yaml", "torch"]
    here = versions.installed(names)
    assert set(here) == {"python", "genarm", "ruamel-yaml", "torch"} and "+" not in here["torch"]
    assert versions.differences(here, here) == []
    there = here | {"python": "2.7", "torch": "0.1", "nobody-has": "1"}
    found = versions.differences(there, here)
    assert found == [f"python {here['python']} here, 2.7 there", f"torch {here['torch']} here, 0.1 there"]
    assert versions.shown([str(i) for i in range(8)]) == "0; 1; 2; 3; 4; 5; and 2 more"
    (place.root / "constraints.txt").unlink()
    assert {"torch", "dvc", "prefect"} <= set(versions.pinned(place.root))


def test_a_stage_that_is_only_to_be_restored_does_not_run(monkeypatch):
    refuse_to_run()
    monkeypatch.setenv(RESTORE_ONLY, "1")
    with pytest.raises(PipelineError, match=NOT_HERE):
        refuse_to_run()

"""What an operator does by hand: refused with a reason where it cannot be meant, measured on any file."""

import json

import pytest
from toy_arms import make_arm
from toy_damage import damaged_arm
from toy_params import dimension

from genarm.cli import main as cli
from genarm.errors import ConfigError, RegistryError
from genarm.models import resolve
from genarm.operations import registry as operations
from genarm.operations.accuracy import accuracy
from genarm.pipeline.project import Project
from genarm.system.files import write_json


@pytest.fixture
def project(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("GENARM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    params = {
        "base": {"model": str(toy.folder), "dtype": "float32"},
        "dimensions": {"kind": dimension()},
    }
    write_json(tmp_path / "params.yaml", params)
    return Project(tmp_path)


def test_accuracy_counts_what_is_no_pair(project, toy, tmp_path):
    make_arm(project.layout.arm("kind"), resolve(str(toy.folder)), toy.model, seed=0)
    pairs = [
        {"prompt": [{"role": "user", "content": f"say {i}"}], "chosen": "a" * (i + 2), "rejected": "b"}
        for i in range(4)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in [*pairs, {"text": "no pair"}]))
    measured = accuracy(project, "kind", file)
    assert (measured["n"], measured["refused"], measured["longer_is_chosen"]) == (4, 1, 1.0)
    assert 0 <= measured["accuracy"] <= 1
    with pytest.raises(ConfigError, match="did you mean 'kind'"):
        accuracy(project, "knd", file)


def test_accuracy_that_is_no_number_is_an_error_and_no_json(project, toy, tmp_path, monkeypatch, capsys):
    damaged_arm(project.layout.arm("kind"), resolve(str(toy.folder)))
    (tmp_path / "pairs.jsonl").write_text(
        json.dumps({"prompt": [{"role": "user", "content": "hi"}], "chosen": "a", "rejected": "b"})
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["genarm", "accuracy", "kind", "pairs.jsonl", "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (1, "")
    assert "holds values that are no numbers" in said.err and "Traceback" not in said.err


@pytest.mark.slow
def test_a_promotion_needs_a_decision_or_a_reason(project):
    with pytest.raises(RegistryError, match="nothing was decided on 'kind' yet.*genarm run --no-promote"):
        operations.promote(project, "kind", None, "")
    with pytest.raises(RegistryError, match="version 3 of kind is not what was decided on.*--force"):
        operations.promote(project, "kind", 3, "")
    write_json(project.layout.champions, {"kind": None})
    assert operations.reconcile(project) == ["nothing to mend"]
    assert operations.drift(project) == [] and operations.versions(project) == []

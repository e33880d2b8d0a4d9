"""Changed parameters, by name and value."""

from genarm.pipeline.changed_parameters import changes
from genarm.system.files import write_json


def test_each_change_is_named_with_both_values(tmp_path):
    (tmp_path / "params.yaml").write_text("train: {beta: 0.05, rate: 1, lora: {rank: 4}}\nbase: {model: b}\n")
    before = {"train": {"beta": 0.02, "rate": 1, "epochs": 3, "lora": {"rank": 8}}, "base": {"model": "b"}}
    assert changes(tmp_path, "params.yaml", before, {"train": "modified"}) == [
        "train.beta 0.02 -> 0.05",
        "train.epochs 3 -> not set",
        "train.lora.rank 8 -> 4",
    ]
    assert changes(tmp_path, "params.yaml", {}, {"train": "new"}) == ["train new"], "it was never recorded"
    assert changes(tmp_path, "params.yaml", {"decide": {"alpha": 1}}, {"decide": "deleted"}) == [
        "decide {alpha: 1} -> not set"
    ]


def test_of_many_changes_a_few_are_named(tmp_path):
    (tmp_path / "params.yaml").write_text("train: {a: 1, b: 1, c: 1, d: 1, e: 1}\n")
    before = {"train": dict.fromkeys("abcde", 0)}
    told = changes(tmp_path, "params.yaml", before, {"train": "modified"})
    assert told == ["train.a 0 -> 1", "train.b 0 -> 1", "train.c 0 -> 1", "2 more"]


def test_a_new_incumbent_is_told_by_its_version(tmp_path):
    write_json(tmp_path / "mlflow" / "incumbents.json", {"kind": {"version": 2, "adapter_sha256": "f" * 64}})
    told = changes(tmp_path, "mlflow/incumbents.json", {"kind": None}, {"kind": "modified"})
    assert told == ["incumbent of kind none -> version 2"]


def test_a_new_check_of_a_judge_is_told_without_its_numbers(tmp_path):
    write_json(tmp_path / "judge-checks.json", {"kind": [{"judge": "k"}]})
    told = changes(tmp_path, "judge-checks.json", {"kind": None}, {"kind": "modified"})
    assert told == ["judge-check of kind modified"]


def test_a_damaged_file_still_names_the_key(tmp_path):
    (tmp_path / "params.yaml").write_text("train: {")
    before = {"train.beta": 0.02}
    told = changes(tmp_path, "params.yaml", before, {"train.beta": "modified"})
    assert told == ["train.beta modified"]

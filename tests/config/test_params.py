"""Parameters: what is wrong is named by file, key and value, and dimensions change what `train` says."""

import math
from pathlib import Path
from typing import Any

import pytest
from toy_params import dimension

from genarm.config import check_params, load_params
from genarm.errors import ConfigError


def values(train: dict[str, Any] | None = None, **overlays: Any) -> dict[str, Any]:
    """Parameters with the section `train` and what each dimension changes of it; `kind` is always there."""
    changes = {"kind": {}} | overlays
    return {
        "base": {"model": "nowhere"},
        "dimensions": {name: dimension() | {"train": change} for name, change in changes.items()},
        "train": train or {},
    }


def refused(given: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        check_params(given, "params.yaml")
    return caught.value.message


def test_a_dimension_changes_single_keys_of_train():
    default = {"beta": 0.2, "lora": {"rank": 4, "layers": 2}, "early_stopping": {"patience": 3}}
    kind = {"learning_rate": 1e-3, "lora": {"layers": "all"}, "early_stopping": None}
    params = check_params(values(default, kind=kind, curt={}), "params.yaml")
    changed, same = params.train_config("kind"), params.train_config("curt")
    assert (changed.beta, changed.learning_rate, changed.early_stopping) == (0.2, 1e-3, None)
    assert (changed.lora.rank, changed.lora.layers, changed.lora.alpha) == (4, "all", 16)
    assert (same.lora.layers, same.early_stopping.patience, same.epochs) == (2, 3, 1.0)


KIND = "dimensions.kind.train"


@pytest.mark.parametrize(
    ("train", "kind", "message"),
    [
        ({"bta": 1}, {}, "unknown key 'train.bta' (did you mean 'beta'?)"),
        ({}, {"bta": 1}, f"unknown key '{KIND}.bta' (did you mean 'beta'?)"),
        ({}, {"lora": {"rnk": 1}}, f"unknown key '{KIND}.lora.rnk' (did you mean 'rank'?)"),
        ({"lora": {"rank": 0}}, {}, "train.lora.rank = 0: input should be"),
        ({}, {"epochs": "two"}, f"{KIND}.epochs = 'two': input should be a valid number"),
        ({}, {"early_stopping": {}}, f"missing key '{KIND}.early_stopping.patience'"),
        ({"early_stopping": {}}, {}, "missing key 'train.early_stopping.patience'"),
        ({"quantise": "4bit"}, {"method": "full"}, "'4bit' holds weights that cannot"),
        ({}, None, f"{KIND} = None: must be a mapping of keys"),
        ({}, {"seed": -1}, f"{KIND}.seed = -1"),
        ({}, {"seed": 2**32}, f"{KIND}.seed = 4294967296"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_named_where_it_stands(train, kind, message):
    assert message in refused(values(train, kind=kind))


def test_settings_that_fit_only_together_may_stand_in_two_places():
    params = check_params(values({"revision": "main"}, kind={"model": "small"}), "params.yaml")
    assert params.train_config("kind").revision == "main"


def test_errors_of_several_sections_are_told_at_once():
    message = refused(values({"beta": -1}, kind={"epochs": 0}) | {"decide": {"alfa": 1}})
    assert message.startswith("params.yaml: ") and message.count("; ") == 2
    assert all(key in message for key in ("train.beta", f"{KIND}.epochs", "did you mean 'alpha'"))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"wieght": 1}, "unknown key 'dimensions.kind.wieght' (did you mean 'weight'?)"),
        ({"weight": -1}, "dimensions.kind.weight = -1: input should be greater"),
        ({"data": {"fles": "a"}}, "unknown key 'dimensions.kind.data.fles' (did you mean 'files'?)"),
        ({"data": {"format": "hh"}}, "missing key 'dimensions.kind.data.files'"),
        ({"judge": None}, "dimensions.kind.judge = None: must be a mapping of keys"),
    ],
)
def test_what_is_wrong_with_a_dimension_is_named_by_its_path(entry, message):
    wrong = values()
    wrong["dimensions"]["kind"] |= entry
    assert message in refused(wrong)


@pytest.mark.parametrize("key", ["data", "judge", "weight"])
def test_a_dimension_lacks_nothing_but_its_changes_of_training(key):
    wrong = values()
    del wrong["dimensions"]["kind"][key]
    assert f"missing key 'dimensions.kind.{key}'" in refused(wrong)
    del (right := values())["dimensions"]["kind"]["train"]
    assert check_params(right, "params.yaml").train_config("kind").beta == 0.1


def test_a_text_alone_is_the_files_and_the_scorer():
    kind = check_params(values(), "params.yaml").dimensions["kind"]
    assert (kind.data.files, kind.data.format, kind.judge.scorer) == ("a", "auto", "length")


@pytest.mark.parametrize("name", ["Kind", "1st", "a b", "", "x" * 41])
def test_a_name_that_is_none_is_refused(name):
    assert f"dimensions.{name}" in refused(values() | {"dimensions": {name: dimension()}})


@pytest.mark.parametrize("number", [True, False, math.inf, -math.inf, math.nan], ids=str)
@pytest.mark.parametrize(
    "key",
    [
        "dimensions.kind.weight",
        "respond.sampling.temperature",
        "respond.sampling.top_k",
        "respond.prompts",
        "train.learning_rate",
        "dimensions.kind.train.epochs",
        "dimensions.kind.train.max_pairs",
        "dimensions.kind.train.lora.rank",
        "dimensions.kind.train.lora.layers",
        "dimensions.kind.train.early_stopping.patience",
        "pairs.max_tokens",
        "pairs.validation",
        "dimensions.kind.judge.tie",
        "decide.alpha",
        "base.device_map.layer",
    ],
)
def test_what_is_no_finite_number_is_refused_wherever_a_number_is_meant(key, number):
    wrong: dict[str, Any] = values() | {"decide": {}, "pairs": {}, "respond": {}}
    wrong["dimensions"]["kind"]["judge"] = {"scorer": "length"}
    *sections, name = key.split(".")
    section = wrong
    for part in sections:
        section = section.setdefault(part, {})
    section[name] = number
    with pytest.raises(ConfigError, match=rf"{sections[-1]}.*{name}.*(no number|finite|valid|greater|less)"):
        check_params(wrong, "params.yaml")


def test_switches_stay_switches_and_numbers_may_be_text():
    kind = {"length_normalised": True, "learning_rate": "1e-3", "lora": {"layers": "all"}}
    train = check_params(values(kind=kind), "params.yaml").train_config("kind")
    assert (train.length_normalised, train.learning_rate) == (True, 1e-3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: caf\xe9\n", "is not UTF-8: line 2 holds the byte 0xe9"),
        (b"\xff\xfea\x00", "is not UTF-8: line 1"),
        (b"a: 1\na: 2", "line 2: found duplicate key"),
        (b"a: 2001-99-99", "is not valid YAML: month must be"),
        (b"a: !!int x", "is not valid YAML: invalid literal"),
        (b"a: !!python/object:os.system x", "line 1: could not determine a constructor"),
        (b"a: \x00", "is not valid YAML: unacceptable character"),
        (b"--- 1\n--- 2", "another document"),
        (b"1: 2", "keys should be strings"),
        (b"base: &a {model: *a}", "base.model = "),
    ],
    ids=repr,
)
def test_a_file_that_cannot_be_read_is_one_line_that_says_where(tmp_path: Path, content, message):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="params.yaml") as caught:
        load_params(path)
    assert message in caught.value.message and "\n" not in caught.value.message


def test_a_file_that_is_absent_empty_or_no_yaml_is_named(tmp_path: Path):
    path = tmp_path / "params.yaml"
    with pytest.raises(ConfigError, match="no parameter file at"):
        load_params(path)
    path.write_text("")
    with pytest.raises(ConfigError, match="holds no parameters"):
        load_params(path)
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load_params(path)


def test_a_key_of_several_types_is_named_without_them():
    message = refused(values(kind={"lora": {"layers": 0}}))
    assert "lora.layers = 0" in message and "constrained" not in message and "literal[" not in message

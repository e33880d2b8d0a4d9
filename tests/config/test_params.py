"""Parameters: what is wrong is named by file, key and value, and dimensions change what `default` says."""

import math
from pathlib import Path
from typing import Any

import pytest

from genarm.config import check_params, load_params
from genarm.errors import ConfigError


def values(train: dict[str, Any], **sections: Any) -> dict[str, Any]:
    dimensions = [d for d in train if d != "default"]
    return {
        "base": {"model": "nowhere"},
        "dimensions": dimensions,
        "pairs": {"sources": {d: {"files": "a"} for d in dimensions}},
        "train": train,
        "respond": {"weights": dict.fromkeys(dimensions, 1)},
        "judge": {d: {"scorer": "length"} for d in dimensions},
    } | sections


def refused(train: dict[str, Any], **sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        check_params(values(train, **sections), "params.yaml")
    return caught.value.message


def test_a_dimension_changes_single_keys_of_the_default():
    default = {"beta": 0.2, "lora": {"rank": 4, "layers": 2}, "early_stopping": {"patience": 3}}
    kind = {"learning_rate": 1e-3, "lora": {"layers": "all"}, "early_stopping": None}
    params = check_params(values({"default": default, "kind": kind, "curt": {}}), "params.yaml")
    changed, same = params.train_config("kind"), params.train_config("curt")
    assert (changed.beta, changed.learning_rate, changed.early_stopping) == (0.2, 1e-3, None)
    assert (changed.lora.rank, changed.lora.layers, changed.lora.alpha) == (4, "all", 16)
    assert (same.lora.layers, same.early_stopping.patience, same.epochs) == (2, 3, 1.0)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"default": {"bta": 1}, "kind": {}}, "unknown key 'train.default.bta' (did you mean 'beta'?)"),
        ({"kind": {"bta": 1}}, "unknown key 'train.kind.bta' (did you mean 'beta'?)"),
        ({"kind": {"lora": {"rnk": 1}}}, "unknown key 'train.kind.lora.rnk' (did you mean 'rank'?)"),
        ({"default": {"lora": {"rank": 0}}, "kind": {}}, "train.default.lora.rank = 0: input should be"),
        ({"kind": {"epochs": "two"}}, "train.kind.epochs = 'two': input should be a valid number"),
        ({"kind": {"early_stopping": {}}}, "missing key 'train.kind.early_stopping.patience'"),
        (
            {"default": {"early_stopping": {}}, "kind": {}},
            "missing key 'train.default.early_stopping.patience'",
        ),
        ({"default": {"quantise": "4bit"}, "kind": {"method": "full"}}, "'4bit' holds weights that cannot"),
        ({"kind": None}, "train.kind = None: must be a mapping of keys"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_named_where_it_stands(train, message):
    assert message in refused(train)


def test_settings_that_fit_only_together_may_stand_in_two_places():
    train = {"default": {"revision": "main"}, "kind": {"model": "small"}}
    assert check_params(values(train), "params.yaml").train_config("kind").revision == "main"


def test_errors_of_several_sections_are_told_at_once():
    message = refused({"default": {"beta": -1}, "kind": {"epochs": 0}}, decide={"alfa": 1})
    assert message.startswith("params.yaml: ") and message.count("; ") == 2
    assert all(key in message for key in ("train.default.beta", "train.kind.epochs", "did you mean 'alpha'"))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"dimensions": ["kind", "curt"]}, "pairs.sources has no entry for dimension 'curt'"),
        ({"respond": {"weights": {"kind": 1, "kimd": 1}}}, "respond.weights.kimd is no dimension"),
        ({"dimensions": ["Kind"]}, "dimensions.0 = 'Kind'"),
        (
            {"pairs": {"sources": {"kind": {"fles": "a"}}}},
            "'pairs.sources.kind.fles' (did you mean 'files'?)",
        ),
    ],
)
def test_every_dimension_has_an_entry_in_every_section(sections, message):
    assert message in refused({"kind": {}}, **sections)


def test_an_entry_of_train_for_no_dimension_is_named_with_the_nearest():
    wrong = values({"default": {}, "kind": {}}) | {"train": {"defualt": {}, "kind": {}}}
    with pytest.raises(ConfigError, match=r"train.defualt is no dimension \(did you mean 'default'\?\)"):
        check_params(wrong, "params.yaml")


@pytest.mark.parametrize("number", [True, False, math.inf, -math.inf, math.nan], ids=str)
@pytest.mark.parametrize(
    "key",
    [
        "respond.weights.kind",
        "respond.sampling.temperature",
        "respond.sampling.top_k",
        "respond.prompts",
        "train.default.learning_rate",
        "train.kind.epochs",
        "train.kind.max_pairs",
        "train.kind.lora.rank",
        "train.kind.lora.layers",
        "train.kind.early_stopping.patience",
        "pairs.max_tokens",
        "pairs.validation",
        "judge.kind.tie",
        "decide.alpha",
        "base.device_map.layer",
    ],
)
def test_what_is_no_finite_number_is_refused_wherever_a_number_is_meant(key, number):
    wrong: dict[str, Any] = values({"default": {}, "kind": {}}) | {"decide": {}}
    *sections, name = key.split(".")
    section = wrong
    for part in sections:
        section = section.setdefault(part, {})
    section[name] = number
    with pytest.raises(ConfigError, match=rf"{sections[-1]}.*{name}.*(no number|finite|valid|greater|less)"):
        check_params(wrong, "params.yaml")


def test_switches_stay_switches_and_numbers_may_be_text():
    kind = {"length_normalised": True, "learning_rate": "1e-3", "lora": {"layers": "all"}}
    train = check_params(values({"kind": kind}), "params.yaml").train_config("kind")
    assert (train.length_normalised, train.learning_rate) == (True, 1e-3)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"kind": {"seed": -1}}, "train.kind.seed = -1"),
        ({"kind": {"seed": 2**32}}, "train.kind.seed = 4294967296"),
        ({"kind": {"lora": {"layers": 0}}}, "train.kind.lora.layers.* = 0"),
    ],
)
def test_numbers_that_no_training_takes_are_refused_before_it(train, message):
    with pytest.raises(ConfigError, match=message):
        check_params(values(train), "params.yaml")


def test_a_dimension_that_changes_nothing_is_asked_for_with_what_to_write():
    wrong = values({"kind": {}}) | {"train": {"default": {}}}
    with pytest.raises(ConfigError, match=r"no entry for dimension 'kind'; .* write `kind: \{\}`"):
        check_params(wrong, "params.yaml")


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


def test_a_dimension_named_twice_is_refused():
    assert refused({"kind": {}}, dimensions=["kind", "kind"]).endswith("dimensions names 'kind' twice")


def test_a_key_of_several_types_is_named_without_them():
    message = refused({"default": {}, "kind": {"lora": {"layers": 0}}})
    assert "lora.layers = 0" in message and "constrained" not in message and "literal[" not in message

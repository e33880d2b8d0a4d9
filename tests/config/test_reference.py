"""The reference of parameters: every key with the default that the code has, and the page of the docs."""

from pathlib import Path

from ruamel.yaml import YAML

from genarm.config import TrainConfig, check_params, load_params
from genarm.config.reference import NAME, keys, markdown, value_of
from genarm.operations.new_project import TEMPLATES

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_code_says():
    page = ROOT / "docs" / "reference" / "parameters.md"
    assert page.read_text(encoding="utf-8") == markdown(), "genarm params --markdown > " + str(page)


def test_every_key_is_there_with_a_meaning():
    known = {key.path: key for key in keys()}
    assert all(key.meaning for key in known.values())
    assert {f"train.{name}" for name in TrainConfig.model_fields} < set(known)
    assert known["train.beta"].default == "0.1" and known["base.model"].default == ""
    assert known[f"dimensions.{NAME}.data.format"].takes == "auto, trl, hh, pku, ultrafeedback"


def test_values_are_those_of_the_file_and_else_the_defaults():
    params, known = load_params(ROOT / "params.yaml"), {key.path: key for key in keys()}
    assert value_of(params, known["train.beta"]) == "0.02"
    assert value_of(params, known["train.lora.dropout"]) == "0"
    assert value_of(params, known[f"dimensions.{NAME}.weight"]) == "positive: tuned\nplain: tuned"


def test_what_a_new_project_is_given_are_the_defaults_of_the_code():
    """So that a line deleted from the file changes nothing."""
    template = YAML(typ="safe").load((TEMPLATES / "params.yaml").read_text(encoding="utf-8"))
    bare = check_params({key: template[key] for key in ("base", "dimensions")}, "bare")
    given = check_params(template, "template")
    trained, by_default = (p.train_config(next(iter(p.dimensions))) for p in (given, bare))
    assert (given.pairs, given.respond, given.decide) == (bare.pairs, bare.respond, bare.decide)
    assert trained == by_default

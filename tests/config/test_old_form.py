"""Parameters in the old form are told with the new form, which can be copied as it stands."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from genarm.config import check_params
from genarm.config.old_form import in_new_form, is_old
from genarm.errors import ConfigError

OLD: dict[str, Any] = {
    "base": {"model": "nowhere"},
    "dimensions": ["kind", "curt"],
    "pairs": {
        "sources": {"kind": {"files": "k.jsonl"}, "curt": {"files": "c/*", "format": "hh"}},
        "max_tokens": 512,
    },
    "train": {"default": {"beta": 0.02, "lora": {"rank": 4}}, "kind": {"lora": {"layers": 2}}, "curt": {}},
    "respond": {"weights": {"kind": 0.3, "curt": 1}, "prompts": 120, "sampling": {"seed": 3}},
    "judge": {"kind": {"scorer": "positive"}, "curt": {"scorer": "brief", "tie": 2}},
    "decide": {"alpha": 0.05},
}


def test_what_is_shown_is_what_to_write():
    with pytest.raises(ConfigError, match=r"params.yaml has an old form") as caught:
        check_params(OLD, "params.yaml")
    shown = YAML(typ="safe").load(caught.value.hint.split("\n\n")[1])
    kept = {key: value for key, value in OLD.items() if key not in ("judge", *shown)}
    params = check_params(kept | shown, "params.yaml")
    kind, curt = params.dimensions["kind"], params.dimensions["curt"]
    assert (kind.data.files, kind.judge.scorer, kind.weight) == ("k.jsonl", "positive", 0.3)
    assert (curt.data.format, curt.judge.tie, curt.weight) == ("hh", 2, 1)
    trained = params.train_config("kind")
    assert (trained.beta, trained.lora.rank, trained.lora.layers) == (0.02, 4, 2)
    assert params.train_config("curt").lora.layers == "all"
    assert (params.pairs.max_tokens, params.respond.prompts, params.respond.sampling.seed) == (512, 120, 3)
    assert "data: k.jsonl" in caught.value.hint, "what says one thing is short"


@pytest.mark.parametrize(
    "section",
    [{"pairs": OLD["pairs"]}, {"train": OLD["train"]}, {"respond": OLD["respond"]}, {"judge": OLD["judge"]}],
    ids=lambda section: next(iter(section)),
)
def test_one_section_of_it_is_enough(section):
    new = {"kind": {"data": "k.jsonl", "judge": "brief", "weight": 2, "train": {}}}
    mixed = {"dimensions": new} | section
    assert is_old(mixed) and not is_old({"dimensions": new})
    assert YAML(typ="safe").load(in_new_form(mixed))["dimensions"] == new, "a new entry stays"


def test_what_the_old_sections_do_not_say_is_left_open():
    assert "judge: '...'" in in_new_form({"dimensions": ["kind"], "pairs": None}).replace('"', "'")
    assert in_new_form({"dimensions": [["kind"]]}), "a list of anything else is told, too"

"""A held-out judge is another one: told by what it is, not by what it is called."""

import pytest

from genarm.config import DimensionConfig
from genarm.errors import JudgeError
from genarm.judges.apart import check_apart


def config(judge: object, held_out: object) -> DimensionConfig:
    return DimensionConfig.model_validate({"data": "a", "judge": judge, "held_out": held_out, "weight": 1})


WORDS = {"scorer": "forbidden_words", "options": {"words": ["a"]}}
SERVED = {"model": "judge-1", "base_url": "http://localhost:1/v1"}


@pytest.mark.parametrize(
    ("judge", "held_out"),
    [
        ("positive", "genarm.judges.scorers:positive"),
        ("positive", {"scorer": "positive", "tie": 0.1}),
        (WORDS, {**WORDS, "scorer": "genarm.judges.scorers:forbidden_words"}),
        ("judges:Kind", "judges:Other"),
        ({"llm": SERVED}, {"llm": SERVED | {"concurrency": 2}}),
        ({"reward_model": {"model": "a/b"}}, {"reward_model": {"model": "a/b", "dtype": "bfloat16"}}),
    ],
)
def test_the_same_judge_by_another_name_or_setting_is_refused(judge, held_out, tmp_path):
    (tmp_path / "judges.py").write_text("def Kind(text):\n    return 0\n\nOther = Kind\n")
    with pytest.raises(
        JudgeError, match=r"dimensions.kind.held_out, .*, is the judge .*: both are "
    ) as caught:
        check_apart("kind", config(judge, held_out), tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("judge", "held_out"),
    [
        ("positive", None),
        ("positive", "plain"),
        (WORDS, {"scorer": "forbidden_words", "options": {"words": ["b"]}}),
        ({"llm": SERVED}, {"llm": SERVED | {"model": "judge-2"}}),
        ({"llm": SERVED}, "positive"),
    ],
)
def test_another_judge_is_not(judge, held_out, tmp_path):
    check_apart("kind", config(judge, held_out), tmp_path)

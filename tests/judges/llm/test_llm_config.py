"""The parameters of a language model as judge: what is refused, and what it is told of its dimension."""

import pytest

from genarm.config.load import check_params
from genarm.errors import ConfigError

KEY = "sk-this-is-the-secret-key-1234"


def params(**llm):
    judge = {"llm": {"model": "m", "base_url": "http://localhost:8000/v1", **llm}}
    dimension = {"data": "a.jsonl", "judge": judge, "held_out": "positive", "weight": 1}
    return check_params({"base": {"model": "m"}, "dimensions": {"polite": dimension}}, "params.yaml")


def test_it_knows_its_dimension():
    assert params().dimensions["polite"].judge.llm.criterion == "polite"
    assert params(criterion="helpful").dimensions["polite"].judge.llm.criterion == "helpful"


@pytest.mark.parametrize(
    ("llm", "told"),
    [
        ({"key": KEY}, "the name of an environment variable"),
        ({"base_url": f"https://me:{KEY}@host/v1"}, "without login"),
        ({"base_url": f"https://host/v1?api-key={KEY}"}, "without login or query"),
        ({"base_url": "localhost:8000"}, "an address is like"),
        ({"base_url": None}, "key: OPENAI_API_KEY"),
        ({"concurrency": 0}, "concurrency"),
    ],
)
def test_what_is_refused(llm, told):
    with pytest.raises(ConfigError, match=told) as error:
        params(**llm)
    assert KEY not in str(error.value)

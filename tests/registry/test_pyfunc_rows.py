"""What `predict` takes: every form of the same prompts gives the same rows, and what is wrong is named."""

import numpy as np
import pandas as pd
import pytest

from genarm.errors import RequestError
from genarm.registry.pyfunc_rows import Row, read_rows
from genarm.types import Message

A, B = (Message("user", "a"),), (Message("system", "s"), Message("user", "b"))
TURN, SAID = {"role": "user", "content": "a"}, [{"role": m.role, "content": m.content} for m in B]
ONE, TWO = [Row(A, None, 1.0, 1.0, 128, 0)], [Row(m, None, 1.0, 1.0, 128, 0) for m in (A, B)]


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ("a", ONE),
        (["a"], ONE),
        ([TURN], ONE),
        ({"prompt": "a"}, ONE),
        ({"messages": [TURN]}, ONE),
        (pd.DataFrame([{"prompt": "a", "seed": None, "weight": float("nan")}]), ONE),
        (pd.DataFrame(["a"]), ONE),
        (pd.Series(["a"]), ONE),
        (np.array(["a"]), ONE),
        ({"prompt": np.array(["a"])}, ONE),
        (["a", SAID], TWO),
        ([[TURN], SAID], TWO),
        ([{"prompt": "a"}, {"messages": SAID}], TWO),
        (pd.DataFrame({"prompt": ["a", SAID]}), TWO),
        ({"prompt": ["a", SAID]}, TWO),
        ([], []),
    ],
)
def test_every_form_of_the_same_prompts_gives_the_same_rows(data, rows):
    assert read_rows(data, None, "kind") == rows


def test_a_row_goes_before_the_params_and_these_before_the_defaults():
    params = {"weights": '{"kind": 1, "brief": 2}', "temperature": 0.5, "seed": 3, "weight": None}
    rows = [{"prompt": "a"}, {"prompt": "a", "weight": 4, "seed": 5.0, "max_new_tokens": "6"}]
    assert read_rows(pd.DataFrame(rows), params, "kind") == [
        Row(A, {"kind": 1.0, "brief": 2.0}, 0.5, 1.0, 128, 3),
        Row(A, {"kind": 4.0}, 0.5, 1.0, 6, 5),
    ]
    assert read_rows({"prompt": "a", "weights": {"brief": 1}}, None, "kind")[0].weights == {"brief": 1.0}


def test_a_column_that_means_nothing_is_told(caplog):
    assert read_rows([{"prompt": "a", "max_tokens": 3}], None, "kind") == ONE
    assert "not used: max_tokens; a row has prompt, messages, weight" in caplog.text


@pytest.mark.parametrize(
    ("data", "params", "message"),
    [
        (None, {}, "predict was given None.*give texts, conversations"),
        (5, {}, "predict was given 5"),
        (TURN, {}, "row 0: there is no prompt in {'role'"),
        (["a", 5], {}, "row 1: there is no prompt in 5"),
        ({"text": "a"}, {}, "row 0: there is no prompt in {'text'"),
        (pd.DataFrame({"text": ["a"]}), {}, "row 0: there is no prompt"),
        (pd.DataFrame({"prompt": ["a", None]}), {}, "row 1: its prompt is missing"),
        ([{"prompt": "a", "messages": [TURN]}], {}, "row 0: it has both prompt and messages"),
        ([{"prompt": 5}], {}, "row 0: its prompt is 5"),
        ([[TURN | {"role": "robot"}]], {}, "row 0: message 0 has role 'robot'.*roles are system, user"),
        ([[TURN | {"content": [{"type": "text"}]}]], {}, "content a list; hint: .*content is text"),
        ([[TURN, TURN | {"role": "assistant"}]], {}, "row 0: the last message is of role 'assistant'"),
        ("a", {"max_tokens": 3}, "params names 'max_tokens'.*settings: weight, weights, temperature"),
        (
            "a",
            {"weights": "kind=1"},
            "row 0: weights is 'kind=1', which is no JSON.*dict: {\"positive\": 0.3",
        ),
        ("a", {"weights": "[1]"}, "row 0: weights is a list"),
        ("a", {"weights": {"kind": "x"}}, "row 0: weight of kind is 'x', which is no number"),
        ("a", {"weight": 1, "weights": {"kind": 1}}, "row 0: it has both weight and weights"),
        ("a", {"guidance": "both"}, "row 0: guidance is 'both'; hint: it is 'sum' or 'contrast'"),
        ("a", {"other_guidance": "yes"}, "row 0: other_guidance is 'yes'; hint: it is False or True"),
        ([{"prompt": "a", "temperature": "hot"}], {}, "row 0: temperature is 'hot', which is no number"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(data, params, message):
    with pytest.raises(RequestError, match=message) as error:
        read_rows(data, params, "kind")
    assert error.value.hint and "\n" not in str(error.value)

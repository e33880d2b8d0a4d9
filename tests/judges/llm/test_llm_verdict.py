"""What an answer says, from log-probabilities worked by hand and from text in one strict form."""

from math import log, nan

import pytest

from genarm.judges.llm.verdict import Reply, preference_for_a


@pytest.mark.parametrize(
    ("tops", "preference"),
    [
        ([("A", log(0.6)), ("B", log(0.2))], 0.5),  # p = 0.6 / 0.8 = 0.75
        ([("A", log(0.2)), (" A", log(0.4)), ("B", log(0.2))], 0.5),  # spellings are added
        ([("The", log(0.9)), (" B\n", log(0.05))], -1.0),  # a label that is not listed has none
        ([("A", log(0.5)), ("B", log(0.5))], 0.0),
        ([("The", log(0.9)), ("Answer", log(0.05))], None),
        ([("A", nan), ("B", log(0.2))], None),
        ([("A", None), ("B", log(0.2))], None),
        ([("A", 3.0), ("B", log(0.2))], None),  # no log-probability
        ([("A", -float("inf")), ("B", -float("inf"))], None),
        ([], None),
        (None, None),
    ],
)
def test_labels_by_their_probabilities(tops, preference):
    found = preference_for_a(Reply("m", None, "A", tops), "logprobs")
    assert found == (None if preference is None else pytest.approx(preference, abs=1e-12))


@pytest.mark.parametrize(
    ("text", "preference"),
    [
        ("A", 1.0),
        (" B.\n", -1.0),
        ("<think>A or B? A is longer.</think>\n\nB", -1.0),
        ("**(A)**", 1.0),
        ("A:", 1.0),
        ("a", None),
        ("A/B", None),
        ("A is better", None),
        ("A or B", None),
        ("Answer: A", None),
        ("<think>A", None),
        ("", None),
    ],
)
def test_text_in_one_strict_form(text, preference):
    assert preference_for_a(Reply("m", None, text, None), "text") == preference

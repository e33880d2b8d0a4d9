"""Every row format comes to the same pair, and every broken row to its reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genarm.data.formats import detect, parse
from genarm.data.refused import Refused
from genarm.errors import ConfigError
from genarm.types import Message, PreferencePair, Prompt

PAIR = PreferencePair(
    Prompt((Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Name a bird."))),
    chosen="A wren.",
    rejected="No.",
)


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def answer(text: str) -> list[dict[str, str]]:
    return said(("assistant", text))


TALK = said(("user", "Hi"), ("assistant", "Hello."), ("user", "Name a bird."))
HEAD = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Name a bird.\n\nAssistant:"
ASKED = said(("user", "Name a bird."))


@pytest.mark.parametrize(
    ("row", "format"),
    [
        ({"prompt": TALK, "chosen": "A wren.", "rejected": "No."}, "trl"),
        ({"prompt": TALK, "chosen": answer("A wren."), "rejected": answer("No.")}, "trl"),
        ({"chosen": TALK + answer("A wren."), "rejected": TALK + answer("No.")}, "trl"),
        ({"prompt": TALK, "chosen": TALK + answer("A wren."), "rejected": TALK + answer("No.")}, "trl"),
        ({"chosen": f"{HEAD} A wren.", "rejected": f"{HEAD} No.\n"}, "hh"),
        ({"prompt": HEAD, "chosen": " A wren.", "rejected": " No."}, "hh"),
    ],
)
def test_one_conversation_reads_the_same_however_it_is_written(row, format):
    assert detect(row) == format
    assert parse(row) == parse(row, format) == PAIR


def test_single_turns_read_the_same_in_every_format():
    expected = PreferencePair(Prompt((Message("user", "Name a bird."),)), "A wren.", "No.")
    responses = {"prompt": "Name a bird.", "response_0": "No.", "response_1": "A wren."}
    labels = {"better_response_id": 1, "safer_response_id": 0}
    assert parse(responses | labels, "auto", "better_response_id") == expected
    assert parse(responses | labels, "pku", "safer_response_id").chosen == "No."
    sides = {"chosen": ASKED + answer("A wren."), "rejected": ASKED + answer("No.")}
    row = {"prompt": "Name a bird.", **sides, "score_chosen": 8.0, "score_rejected": 3.0}
    assert detect(row) == "ultrafeedback"
    assert parse(row) == parse({"prompt": "Name a bird.", "chosen": "A wren.", "rejected": "No."}) == expected


def test_a_system_message_may_open_a_conversation():
    row = {"prompt": said(("system", "Be brief.")) + ASKED, "chosen": "A wren.", "rejected": "No."}
    assert [m.role for m in parse(row).prompt.messages] == ["system", "user"]


PKU = {"prompt": "q", "response_0": "a", "response_1": "b"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("text", "not a JSON object"),
        ({"question": "q", "answer": "a"}, "keys of no known format"),
        ({"prompt": "q", "chosen": "a", "rejected": None}, "'rejected' is neither text nor messages"),
        ({"prompt": "q", "chosen": "a", "rejected": "a "}, "chosen equals rejected"),
        ({"prompt": "q", "chosen": "a", "rejected": " \n"}, "empty response"),
        ({"prompt": " ", "chosen": "a", "rejected": "b"}, "empty turn"),
        ({"prompt": "q", "chosen": "a", "rejected": "\ud800"}, "text is not valid Unicode"),
        ({"chosen": [], "rejected": []}, "no turns"),
        ({"prompt": said(("human", "q")), "chosen": "a", "rejected": "b"}, "wrong role 'human'"),
        ({"prompt": said(("a role of words", "q")), "chosen": "a", "rejected": "b"}, "wrong role"),
        (
            {"prompt": [{"role": "user"}], "chosen": "a", "rejected": "b"},
            "a message of 'prompt' has no 'content'",
        ),
        ({"prompt": TALK[:2], "chosen": "a", "rejected": "b"}, "two turns of one speaker in a row"),
        ({"prompt": TALK[1:], "chosen": "a", "rejected": "b"}, "first turn is not the user's"),
        (
            {"prompt": ASKED + said(("system", "s")), "chosen": "a", "rejected": "b"},
            "a system message after the first turn",
        ),
        ({"chosen": ASKED + answer("a"), "rejected": TALK + answer("b")}, "prompts of the two sides differ"),
        ({"chosen": ASKED, "rejected": ASKED + answer("b")}, "last turn is not the assistant's"),
        ({"chosen": f"{HEAD} a\n\nHuman: b", "rejected": f"{HEAD} c"}, "last turn is not the assistant's"),
        ({"chosen": f"{HEAD}\n\nAssistant: a", "rejected": f"{HEAD} c"}, "two turns of one speaker in a row"),
        ({"chosen": f"{HEAD}", "rejected": f"{HEAD} c"}, "empty response"),
        ({"chosen": f"so{HEAD} a", "rejected": f"{HEAD} c"}, "text before the first turn"),
        ({"chosen": "a", "rejected": "b"}, "no 'Human:' and 'Assistant:' turns"),
        (
            {"prompt": "other", "chosen": ASKED + answer("a"), "rejected": ASKED + answer("b")},
            "first message is not the prompt",
        ),
        (
            {
                "prompt": "Name a bird.",
                "chosen": ASKED + answer("a"),
                "rejected": ASKED + answer("b"),
                "score_chosen": 4.0,
                "score_rejected": 4.0,
            },
            "scores of the two sides tie",
        ),
        (PKU | {"safer_response_id": None}, "label safer_response_id is null"),
        (PKU | {"safer_response_id": 2}, "label safer_response_id is neither 0 nor 1"),
        (PKU | {"safer_response_id": True}, "label safer_response_id is not the number 0 or 1"),
        (PKU, "no key 'safer_response_id'"),
        (PKU | {"safer_response_id": 0, "prompt": 3}, "'prompt' is not text"),
    ],
)
def test_a_broken_row_is_refused_with_its_reason(row, reason):
    with pytest.raises(Refused) as caught:
        parse(row, "auto", "safer_response_id")
    assert caught.value.reason == reason


def test_two_labels_and_no_choice_is_the_sources_fault_not_the_rows():
    with pytest.raises(ConfigError, match="preferred to better_response_id or safer"):
        parse(PKU | {"better_response_id": 0})


leaves = st.sampled_from([None, True, 0, 1, 2.5, "", "a", "user", "assistant", HEAD, f"{HEAD} a", "\ud800"])
messages = st.lists(st.dictionaries(st.sampled_from(["role", "content"]), leaves) | leaves, max_size=3)
keys = st.sampled_from(["prompt", "chosen", "rejected", "response_0", "response_1", "safer_response_id"])


@given(st.dictionaries(keys, leaves | messages))
def test_no_row_whatever_breaks_the_reader(row):
    try:
        parse(row, "auto", "safer_response_id")
    except Refused as why:
        assert why.reason

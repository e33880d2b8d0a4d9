"""Keys of a row beyond prompt and responses: read, refused by name, or told; never dropped unseen."""

import json
import logging

import pytest

from genarm.config import PairsConfig, SourceConfig
from genarm.data.columns import unread
from genarm.data.formats import parse
from genarm.data.pairs import check_pairs, make_pairs
from genarm.data.refused import Refused
from genarm.errors import DataError

ROW = {"prompt": "Name a bird.", "chosen": "A wren.", "rejected": "No."}
ASKED = [{"role": "user", "content": "Name a bird."}]
BRIEF = ("system", "Be brief.")


def answer(text: str, **more: object) -> list[dict[str, object]]:
    return [{"role": "assistant", "content": text, **more}]


def turns(row: dict[str, object], **options: str) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in parse(row, **options).prompt.messages]


HH = {"prompt": "\n\nHuman: Name a bird.\n\nAssistant:", "chosen": " A wren.", "rejected": " No."}
WHOLE = {"chosen": ASKED + answer("A wren."), "rejected": ASKED + answer("No.")}
PKU = {"prompt": "Name a bird.", "response_0": "A wren.", "response_1": "No.", "better_response_id": 0}
FORMATS = {
    "trl": ROW,
    "trl messages": ROW | {"prompt": ASKED},
    "trl mixed": ROW | {"chosen": answer("A wren."), "rejected": answer("No.")},
    "whole": WHOLE,
    "hh": HH,
    "pku": PKU,
    "ultrafeedback": WHOLE | {"prompt": "Name a bird."},
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_system_column_opens_the_prompt_in_every_format(name):
    row = FORMATS[name] | {"system": " Be brief. "}
    assert turns(row, preferred="better_response_id") == [BRIEF, ("user", "Name a bird.")]
    for nothing in (None, "", " "):
        assert turns(row | {"system": nothing}, preferred="better_response_id") == [("user", "Name a bird.")]


@pytest.mark.parametrize("name", [n for n in FORMATS if n != "whole"])
def test_a_history_column_stands_between_system_message_and_prompt(name):
    row = FORMATS[name] | {"system": "Be brief.", "history": [["Hi", "Hello."], ["Why?", "So."]]}
    earlier = [("user", "Hi"), ("assistant", "Hello."), ("user", "Why?"), ("assistant", "So.")]
    found = turns(row, preferred="better_response_id")
    assert found == [BRIEF, *earlier, ("user", "Name a bird.")]


def test_a_prompt_with_the_same_system_message_is_not_given_it_twice():
    prompt = [{"role": "system", "content": "Be brief."}, *ASKED]
    assert turns(ROW | {"prompt": prompt, "system": "Be brief."}) == [BRIEF, ("user", "Name a bird.")]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"system": 3}, "'system' is not text"),
        ({"system": "A", "prompt": [{"role": "system", "content": "B"}, *ASKED]}, "two system messages"),
        ({"history": "Hi"}, "'history' is not [[user, assistant], ...]"),
        ({"history": [["Hi"]]}, "'history' is not [[user, assistant], ...]"),
        ({"history": [{"role": "user", "content": "Hi"}]}, "'history' is not [[user, assistant], ...]"),
        ({"history": [["Hi", ""]]}, "empty turn"),
        (WHOLE | {"prompt": None, "history": [["Hi", "Ho"]]}, "'history' beside a whole conversation"),
        ({"tools": [{"type": "function"}]}, "'tools' is not rendered"),
        ({"tools": '[{"type": "function"}]'}, "'tools' is not rendered"),
        ({"images": ["a.png"]}, "'images' is not rendered"),
        ({"chosen": answer("So.", tool_calls=[{"type": "function"}])}, "'tool_calls' is not rendered"),
        ({"prompt": [{**ASKED[0], "function_call": {"name": "f"}}]}, "'function_call' is not rendered"),
        ({"score_chosen": 3, "score_rejected": 4.5}, "scores prefer the rejected response"),
        ({"chosen_rating": 1, "rejected_rating": 2}, "scores prefer the rejected response"),
        ({"chosen-rating": 2.0, "rejected-rating": 2}, "scores of the two sides tie"),
    ],
)
def test_what_no_prompt_can_show_refuses_the_row_by_name(more, reason):
    with pytest.raises(Refused) as caught:
        parse(ROW | more)
    assert caught.value.reason == reason


def test_what_says_nothing_or_is_in_order_refuses_nothing():
    nothing = {"tools": None, "images": [], "functions": "[]", "function_call": {"name": None}}
    scores = {"score_chosen": 5, "score_rejected": 3.5, "chosen_rating": float("nan"), "rejected_rating": 1}
    chosen = answer("A wren.", tool_calls=None)
    assert parse(ROW | nothing | scores | {"chosen": chosen}) == parse(ROW)


@pytest.mark.parametrize(
    ("label", "chosen"), [(0.0, "A wren."), (1.0, "No."), (0, "A wren."), (float("nan"), None), (0.5, None)]
)
def test_labels_come_as_whole_numbers_of_either_kind(label, chosen):
    row = PKU | {"better_response_id": label}
    if chosen:
        assert parse(row, preferred="better_response_id").chosen == chosen
    else:
        with pytest.raises(Refused, match="null|neither"):
            parse(row, preferred="better_response_id")


TALK = [("user", "Hi"), ("assistant", "Hello."), ("user", "Name a bird.")]


@pytest.mark.parametrize("end", ["", "\n\n", "\n\nAssistant:"])
@pytest.mark.parametrize("start", ["", "\n\nAssistant:"])
def test_a_transcript_is_its_turns_wherever_the_last_label_stands(end, start):
    if end.strip() and start:
        return
    prompt = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Name a bird." + end
    row = {"prompt": prompt, "chosen": f"{start} A wren.", "rejected": f"{start} No."}
    assert turns(row) == turns(row, format="hh") == TALK
    assert parse(row).chosen == "A wren."
    messages = {"prompt": prompt, "chosen": answer("A wren."), "rejected": answer("No.")}
    assert parse(messages) == parse(row) == parse(messages | {"rejected": "No."})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW | {"prompt": "Human: Hi\n\nAssistant: Hello."}, "two turns of one speaker in a row"),
        (ROW | {"prompt": "Human: Hi\nAssistant: Hello.\nHuman: Why?"}, "a speaker's label inside a turn"),
        (
            HH | {"chosen": "Human: Hi\n\nAssistant: a", "rejected": "Human: Hi\n\nAssistant: b"},
            "a whole transcript beside a prompt",
        ),
    ],
)
def test_a_transcript_that_is_no_prompt_is_refused(row, reason):
    with pytest.raises(Refused) as caught:
        parse(row)
    assert caught.value.reason == reason


def test_columns_that_say_something_are_unread_and_metadata_is_known():
    known = {"id": 1, "prompt_id": "a", "source": "x", "chosen_model": "m", "is_response_0_safe": True}
    empty = {"margin": None, "thinking": "", "notes": []}
    assert unread(ROW | known | empty) == set()
    secret = "a key that is as long as what people write into texts"
    found = unread(ROW | {"margin": 0.5, secret: 1, "chosen": answer("A wren.", thinking="so", name="n")})
    assert unread(ROW | {"score_chosen": "8.5", "score_rejected": None}) == {"score_chosen"}
    assert found == {"margin", f"(a key of {len(secret)} characters)", "chosen[].thinking"}


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
        {"system": "s", "question": "q", "chosen": "a", "rejected": "b"},
        {"question": "q", "chosen": answer("a"), "rejected": answer("b")},
        {"conversations": [], "question": "q", "chosen": {"value": "a"}, "rejected": {"value": "b"}},
        {"question": "q", "answer": "a"},
    ],
)
def test_columns_of_other_names_are_told_with_what_was_wanted(row, toy, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    result = make_pairs(tmp_path, "kind", SourceConfig(files="*"), PairsConfig(), toy.tokenizer)
    assert result.refused[0].reason == "keys of no known format"
    with pytest.raises(DataError) as caught:
        check_pairs(result, "it")
    assert f"has {', '.join(row)}; known are: prompt + chosen + rejected" in str(caught.value)
    assert "row 1 of a.jsonl" in str(caught.value)


def test_unread_columns_are_told_once_a_file(toy, tmp_path, caplog):
    rows = [ROW | {"prompt": f"q {i}", "margin": i, "id": i} for i in range(1, 30)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "b.jsonl").write_text(json.dumps(ROW))
    with caplog.at_level(logging.WARNING):
        result = make_pairs(tmp_path, "kind", SourceConfig(files="*"), PairsConfig(), toy.tokenizer)
    assert result.stats.unread == {"a.jsonl": ["margin"]}
    assert [r.getMessage() for r in caplog.records] == ["kind: a.jsonl: columns not read: margin"]
    assert result.stats.files == {"a.jsonl": 29, "b.jsonl": 1}

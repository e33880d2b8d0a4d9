"""Which split a prompt falls in: that of the conversation which its first turn of the user begins."""

import hashlib
import json
from itertools import product
from pathlib import Path

import pytest

from genarm.config import PairsConfig, SourceConfig
from genarm.data.formats import parse
from genarm.data.pairs import make_pairs, split_of, write_pairs
from genarm.system.files import iter_rows
from genarm.system.layout import Layout
from genarm.types import Message, PreferencePair, Prompt

ROOT = Path(__file__).parents[2]
CONFIG = PairsConfig(validation=0.08, evaluation=0.35)
USER, ASSISTANT, SYSTEM = "user", "assistant", "system"


def prompt(*texts: str, system: str = "") -> Prompt:
    """Texts of user and assistant in turn."""
    turns = [Message((USER, ASSISTANT)[i % 2], text) for i, text in enumerate(texts)]
    return Prompt((*([Message(SYSTEM, system)] if system else []), *turns))


def test_what_goes_on_from_one_first_turn_is_in_one_split():
    for i in range(200):
        same = [
            prompt(f"q {i}"),
            prompt(f"q {i}", system="Be brief."),
            prompt(f"q {i}", system="Be long."),
            prompt(f"q {i}", "yes", "why?"),
            prompt(f"q {i}", "no", "why?", "so", "and?", system="Be brief."),
        ]
        assert len({split_of(p, CONFIG) for p in same}) == 1


def test_a_system_message_that_all_share_does_not_put_all_in_one_split():
    assert len({split_of(prompt(f"q {i}", system="Be brief."), CONFIG) for i in range(60)}) == 3


def test_a_prompt_of_one_turn_falls_where_the_hash_of_its_messages_puts_it():
    for i in range(200):
        one = prompt(f"q {i}")
        digest = hashlib.sha256(f"0:{one.id}".encode()).digest()
        draw = int.from_bytes(digest[:8], "big") / 2**64
        expected = "evaluation" if draw < 0.35 else "validation" if draw < 0.43 else "train"
        assert split_of(one, CONFIG) == expected


def test_a_share_for_a_judge_takes_prompts_from_training_alone():
    shared = CONFIG.model_copy(update={"judge": 0.2})
    prompts = [prompt(f"q {i}") for i in range(400)]
    for one in prompts:
        before, after = split_of(one, CONFIG), split_of(one, shared)
        assert after == before or (before, after) == ("train", "judge")
    # 400 draws: one standard deviation is 2 of a hundred
    assert [split_of(p, shared) for p in prompts].count("judge") / 400 == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize(("dimension", "sizes"), [("plain", (907, 132, 504)), ("positive", (425, 52, 232))])
def test_the_embedded_data_keeps_its_splits(dimension, sizes):
    rows = iter_rows(ROOT / "seed" / f"{dimension}.jsonl", dict[str, object])
    splits = [split_of(parse(row).prompt, CONFIG) for row in rows]
    assert tuple(map(splits.count, ("train", "validation", "evaluation"))) == sizes


def deep(first: str, more: int) -> list[dict[str, str]]:
    texts = [first, *("so", "and?") * more]
    return [{"role": (USER, ASSISTANT)[i % 2], "content": text} for i, text in enumerate(texts)]


def as_transcript(turns: list[dict[str, str]]) -> str:
    names = {USER: "Human", ASSISTANT: "Assistant"}
    return "".join(f"\n\n{names[t['role']]}: {t['content']}" for t in turns)


def as_row(format: str, first: str, more: int) -> dict[str, object]:
    """A conversation of 1 + 2 * more turns before the answer, as a row of a format."""
    turns, sides = deep(first, more), {"chosen": "yes", "rejected": "no"}
    whole = {k: [*turns, {"role": ASSISTANT, "content": v}] for k, v in sides.items()}
    last, history = turns[-1]["content"], [[turns[i]["content"], "so"] for i in range(0, 2 * more, 2)]
    return {
        "trl": {"prompt": turns, **sides},
        "whole": whole,
        "history": {"prompt": last, "history": history, "system": "Be brief.", **sides},
        "hh": {k: as_transcript(v) for k, v in whole.items()},
        "hh prompt": {"prompt": as_transcript(turns), **sides},
        "pku": {
            "prompt": last,
            "history": history,
            "response_0": "yes",
            "response_1": "no",
            "better_response_id": 0,
        },
    }[format]


@pytest.mark.parametrize("format", ["trl", "whole", "history", "hh", "hh prompt", "pku"])
def test_no_evaluation_prompt_goes_on_from_a_training_one(toy, tmp_path, format):
    rows = [as_row(format, f"q {i}", more) for i, more in product(range(60), range(3))]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = SourceConfig(files="*", preferred="better_response_id")
    splits = make_pairs(tmp_path, "kind", source, CONFIG, toy.tokenizer).splits

    def begun(pairs: list[PreferencePair]) -> set[str]:
        return {next(m.content for m in p.prompt.messages if m.role == USER) for p in pairs}

    assert sum(map(len, splits.values())) == 180
    for one, other in (("train", "evaluation"), ("train", "validation"), ("validation", "evaluation")):
        assert begun(splits[one]) and not begun(splits[one]) & begun(splits[other])


def test_without_a_share_for_a_judge_its_file_is_absent_and_the_others_stay_as_they_are(toy, tmp_path):
    rows = [{"prompt": f"q {i}", "chosen": "yes", "rejected": "no"} for i in range(80)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    layout, source = Layout(tmp_path), SourceConfig(files="a.jsonl")

    def written(**changes: float) -> dict[str, bytes]:
        config = CONFIG.model_copy(update=changes)
        write_pairs(layout, make_pairs(tmp_path, "kind", source, config, toy.tokenizer))
        return {file.name: file.read_bytes() for file in layout.pairs("kind", "train").parent.iterdir()}

    without, shared = written(), written(judge=0.3)
    assert without.keys() == shared.keys() - {"judge.jsonl"}
    assert shared["evaluation.jsonl"] == without["evaluation.jsonl"]
    assert shared["validation.jsonl"] == without["validation.jsonl"]
    both = shared["train.jsonl"].splitlines() + shared["judge.jsonl"].splitlines()
    assert sorted(both) == sorted(without["train.jsonl"].splitlines())
    assert b'"judge"' not in without["stats.json"] and b'"judge"' in shared["stats.json"]
    assert written() == without, "the file of an earlier share is gone"

"""Rows of any length cost bounded time and memory: what the allowed tokens cannot hold is not tokenised."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_tokenizers import GEMMA, LLAMA, sentencepiece
from toys import byte_tokenizer

from genarm.config import PairsConfig, SourceConfig
from genarm.data.batches import BATCH, BATCH_CHARACTERS, CharacterLimit, batches
from genarm.data.pairs import make_pairs
from genarm.data.refused import Refused
from genarm.types import Message, PreferencePair, Prompt

# With the letters that each knows: an unknown token may stand for any number of letters.
TOKENIZERS = {
    "bytes": (byte_tokenizer(), "ab \n\té漢🙂"),
    "gemma": (sentencepiece(GEMMA, ("<start_of_turn>", "<end_of_turn>")), "noyes ab\n"),
    "llama 2": (sentencepiece(LLAMA), "noyes ab\n"),
}


def pair(prompt: str, chosen: str = "yes", rejected: str = "no") -> PreferencePair:
    return PreferencePair(Prompt((Message("user", prompt),)), chosen, rejected)


@pytest.mark.parametrize("side", ["prompt", "chosen", "rejected"])
def test_ten_megabytes_in_a_row_are_refused_in_seconds_with_their_size(toy, tmp_path, side):
    row = {"prompt": "q", "chosen": "yes", "rejected": "no"} | {side: "a" * 10_000_000}
    more = {"prompt": "another", "chosen": "yes", "rejected": "no"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(more))
    config, started = PairsConfig(max_tokens=512), time.monotonic()
    result = make_pairs(tmp_path, "kind", SourceConfig(files="*"), config, toy.tokenizer)
    assert time.monotonic() - started < 5
    (refused,) = result.refused
    assert (refused.row, refused.reason, result.stats.pairs) == (1, "longer than 512 tokens", 1)
    assert "10000000" in refused.detail and "characters" in refused.detail


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(drawn=st.data(), max_tokens=st.integers(1, 8))
def test_no_text_that_would_fit_is_refused_by_its_characters(kind, drawn, max_tokens):
    tokenizer, letters = TOKENIZERS[kind]
    text = drawn.draw(st.text(letters, min_size=1, max_size=20))
    limit = CharacterLimit.of(tokenizer, max_tokens)
    long = text * (limit.characters // len(text) + 1)
    with pytest.raises(Refused, match=f"longer than {max_tokens} tokens"):
        limit.check(pair("q", long))
    assert len(tokenizer.encode(long, add_special_tokens=False)) > max_tokens
    limit.check(pair("q", long[: limit.characters - 1]))


@given(st.lists(st.integers(1, 700_000), max_size=12))
def test_batches_keep_the_order_and_hold_a_bounded_number_of_characters(sizes):
    rows = [(i, pair("q" * (size // 3), "c", "r")) for i, size in enumerate(sizes)]
    found = list(batches(rows))
    assert [i for batch in found for i, _ in batch] == list(range(len(rows)))
    for batch in found:
        before_last = sum(3 * len(p.prompt.messages[0].content) + 2 for _, p in batch[:-1])
        assert batch and len(batch) <= BATCH and before_last < BATCH_CHARACTERS
    assert [len(batch) for batch in batches((i, pair("q")) for i in range(BATCH + 1))] == [BATCH, 1]

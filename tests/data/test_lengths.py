"""Lengths in tokens: those that training has, whatever the tokenizer."""

import pytest
from toy_tokenizers import BARE, GEMMA, LLAMA, sentencepiece
from toys import byte_tokenizer

from genarm import models
from genarm.config import PairsConfig, SourceConfig
from genarm.data.lengths import Lengths, TokenStats, longer_is_chosen, token_lengths, token_stats
from genarm.data.pairs import make_pairs
from genarm.errors import DataError
from genarm.training.tokens import encode
from genarm.types import Message, PreferencePair, Prompt

TOKENIZERS = {
    "bytes": byte_tokenizer,
    "gemma": lambda: sentencepiece(GEMMA, ("<start_of_turn>", "<end_of_turn>")),
    "llama 2": lambda: sentencepiece(LLAMA),
    "no end of turn": lambda: sentencepiece(BARE),
}


def pair(chosen: str, rejected: str) -> PreferencePair:
    return PreferencePair(Prompt((Message("user", "hi"),)), chosen, rejected)


def test_lengths_counted_together_are_those_of_rendering_one_by_one(toy):
    turns = (Message("system", "Be brief."), Message("user", "Hé?"), Message("assistant", "Yes."))
    prompts = [Prompt(turns[1:2]), Prompt((*turns, Message("user", "Why?"))), Prompt(turns[:2])]
    pairs = [PreferencePair(p, "abc", "é") for p in prompts]
    expected = [Lengths(len(models.render(toy.tokenizer, p.messages)), 4, 3) for p in prompts]
    assert token_lengths(pairs, toy.tokenizer) == expected  # "é" is two bytes, and the end token


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_pair_is_as_long_as_training_tokenises_it(kind):
    tokenizer = TOKENIZERS[kind]()
    pairs = [pair("yes", "no"), pair("best", "not yes"), pair("no no", "yes")]
    trained = [Lengths(len(t.prompt), len(t.chosen), len(t.rejected)) for t in encode(pairs, tokenizer)]
    assert token_lengths(pairs, tokenizer) == trained


def test_the_limit_counts_a_response_as_the_continuation_of_its_prompt(tmp_path):
    """Gemma starts a response without a space: "best" is 4 letters there, and 5 tokens when read alone."""
    tokenizer = TOKENIZERS["gemma"]()
    assert len(tokenizer.encode("best", add_special_tokens=False)) == 5
    (lengths,) = token_lengths([pair("best", "no")], tokenizer)
    assert lengths[1:] == (5, 2)  # the letters and "no", each with the end of the turn
    (tmp_path / "a.jsonl").write_text('{"prompt": "hi", "chosen": "best", "rejected": "no"}\n')
    config = PairsConfig(max_tokens=lengths.prompt + lengths.chosen)
    result = make_pairs(tmp_path, "kind", SourceConfig(files="*"), config, tokenizer)
    assert result.stats.pairs == 1


def test_a_tokenizer_without_any_end_is_refused_before_training():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template, tokenizer.eos_token = BARE, None
    with pytest.raises(DataError, match="no end-of-turn token"):
        token_lengths([pair("yes", "no")], tokenizer)


def test_statistics_by_hand():
    assert token_stats([1, 2, 3, 10]) == TokenStats(mean=4.0, p50=3, p95=10, max=10)
    assert longer_is_chosen([(3, 2), (2, 3), (2, 2), (9, 2)]) == 0.625

"""Where a response begins and ends, as token ids, for tokenizers and templates that do it differently."""

import pytest
from toy_tokenizers import BARE, GEMMA, LLAMA, sentencepiece
from toys import byte_tokenizer, toy_model

from genarm.errors import DataError
from genarm.models import render
from genarm.models.chat_template import assistant_turn, end_tokens
from genarm.training.tokens import encode
from genarm.types import Message, PreferencePair, Prompt


def pair(chosen: str = "yes", rejected: str = "no") -> PreferencePair:
    return PreferencePair(Prompt((Message("user", "hi"),)), chosen, rejected)


def words(tokenizer, ids) -> list[str]:
    return tokenizer.convert_ids_to_tokens(ids)


def test_a_pair_is_rendered_as_decoding_renders_it():
    (found,) = encode([pair()], byte_tokenizer())
    text = byte_tokenizer().decode
    assert text(found.prompt) == "<|user|>hi<|end|><|assistant|>"
    assert (text(found.chosen), text(found.rejected)) == ("yes<|end|>", "no<|end|>")
    assert found.prompt_id == pair().prompt.id


def test_gemma_ends_a_turn_with_another_token_than_eos_and_starts_it_without_a_space():
    tokenizer = sentencepiece(GEMMA, ("<start_of_turn>", "<end_of_turn>"))
    (found,) = encode([pair()], tokenizer)
    assert found.prompt == render(tokenizer, pair().prompt.messages)
    assert words(tokenizer, tokenizer.encode("yes", add_special_tokens=False)) == ["▁yes"], "by itself"
    assert words(tokenizer, found.chosen) == ["yes", "<end_of_turn>"]
    assert words(tokenizer, found.rejected) == ["no", "<end_of_turn>"]
    model = toy_model()
    model.generation_config.eos_token_id = [250]
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>"), 250, 256]
    assert end_tokens(tokenizer, model) == sorted(ends)


def test_llama_2_writes_a_space_before_the_response_and_eos_after_it():
    tokenizer = sentencepiece(LLAMA)
    assert assistant_turn(tokenizer).lead == " "
    (found,) = encode([pair()], tokenizer)
    assert words(tokenizer, found.chosen) == ["▁yes", "</s>"]
    whole = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}], return_dict=False
    )
    assert found.prompt + found.chosen == whole


def test_where_prompt_and_response_would_share_a_token_the_prompt_stays_whole():
    """The prompt ends with a space, which would merge with the response's first word."""
    tokenizer = sentencepiece(BARE)
    (found,) = encode([pair()], tokenizer)
    assert words(tokenizer, found.prompt)[-2:] == [">", "▁"]
    assert words(tokenizer, found.chosen) == ["yes", "</s>"], "no special token after a turn: eos"


def test_a_template_that_refuses_an_answer_falls_back_to_eos():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no') if messages[-1]['role'] == 'assistant' }}"
    assert assistant_turn(tokenizer).end == tokenizer.eos_token_id


def test_a_tokenizer_without_any_end_is_refused():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template, tokenizer.eos_token = BARE, None
    with pytest.raises(DataError, match="no end-of-turn token"):
        encode([pair()], tokenizer)

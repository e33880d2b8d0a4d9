"""The one rendering: as the template writes it, as text and as ids alike."""

import pytest
from toy_tokenizers import BARE, GEMMA, LLAMA, sentencepiece
from toys import byte_tokenizer

from genarm.models import render
from genarm.models.chat_template import prompt_text, text_ids
from genarm.types import Message

TURNS = [Message("user", "hi"), Message("assistant", "no"), Message("user", "yes yes")]
TOKENIZERS = {
    "bytes": byte_tokenizer,
    "gemma": lambda: sentencepiece(GEMMA, ("<start_of_turn>", "<end_of_turn>")),
    "llama 2": lambda: sentencepiece(LLAMA),
    "bare": lambda: sentencepiece(BARE),
}


def test_rendering_ends_where_the_answer_starts(toy):
    ids = render(toy.tokenizer, [Message("user", "hi")])
    assert toy.tokenizer.decode(ids) == "<|user|>hi<|end|><|assistant|>"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_ids_are_those_of_the_text_and_of_transformers(kind):
    tokenizer = TOKENIZERS[kind]()
    turns = [{"role": m.role, "content": m.content} for m in TURNS]
    theirs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert render(tokenizer, TURNS) == theirs == text_ids(tokenizer, [prompt_text(tokenizer, TURNS)])[0]

"""From messages to guided tokens, with chat templates and tokenizers in the manner of three families."""

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from toy_arms import LINEAR, as_peft_loads_it, family_model, make_arm, plain_loop
from toys import byte_tokenizer

from genarm.decoding import GuidedRequest, load_decoder
from genarm.models import load_tokenizer, render, resolve
from genarm.types import Message

torch.set_num_threads(1)

LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m['role'] }}<|stop|>\n\n"
    "{{ m['content'] | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|stop|>\n\n{% endif %}"
)
QWEN = (
    "{% if messages[0]['role'] != 'system' %}<|start|>system\nYou help.<|eot|>\n{% endif %}"
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|eot|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<|start|>"
    "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<|eot|>\n{% endfor %}{% if add_generation_prompt %}<|start|>model\n{% endif %}"
)
SHAPES = {  # family, template, whether a text is given a BOS, settings
    "llama": (LLAMA, True, {}),
    "qwen2": (QWEN, False, {}),
    "gemma2": (GEMMA, True, {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 16}),
}
TALKS = [
    (Message("user", "Hi"),),
    (
        Message("user", "Why is the sky blue?"),
        Message("assistant", "It is not."),
        Message("user", "  Really? "),
    ),
    (Message("user", "Zürich \N{GRINNING FACE}"),),
]


def shaped(template: str, bos: bool):
    """The byte tokenizer with the family's special tokens, which puts a BOS before any text where they do."""
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|start|>", "<|stop|>", "<|eot|>"]}
        | ({"bos_token": "<|begin|>"} if bos else {})
    )
    if bos:
        begin = ("<|begin|>", tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[begin]
        )
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("family", SHAPES)
def test_rendered_conversations_are_answered_as_the_plain_loop_answers_them(family, tmp_path):
    template, bos, settings = SHAPES[family]
    written = shaped(template, bos)
    model = family_model(family, tmp_path / "base", written, vocab_size=272, **settings)
    source = resolve(str(tmp_path / "base"))
    folder = make_arm(
        tmp_path / "arm", source, model, seed=3, target_modules=LINEAR, layers_to_transform=[2, 3]
    )
    decoder = load_decoder(source, {"arm": folder}, dtype="float32", batch_size=4)
    tokenizer = load_tokenizer(source)
    prompts = [render(tokenizer, talk) for talk in TALKS]
    for ids, talk in zip(prompts, TALKS, strict=True):
        text = tokenizer.decode(ids)
        assert ids.count(tokenizer.bos_token_id) == bos  # the template's; the tokenizer adds no other
        assert (
            text.endswith(("assistant<|stop|>\n\n", "assistant\n", "model\n"))
            and talk[-1].content.strip() in text
        )
    if bos:
        assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id  # else nothing was at stake
    requests = [
        GuidedRequest(
            tuple(ids), {"arm": weight}, max_new_tokens=8 + 6 * i, seed=i, temperature=1 - 0.3 * weight
        )
        for i, (ids, weight) in enumerate((ids, weight) for weight in (0.8, 0.0) for ids in prompts)
    ]
    ends = {tokenizer.convert_tokens_to_ids("<|eot|>"), tokenizer.eos_token_id}
    assert ends == set(decoder.stop_criteria.end_tokens.tolist())
    loaded = {"arm": as_peft_loads_it(model, folder)}
    for answer, request in zip(decoder.generate(requests), requests, strict=True):
        tokens, _, kl = plain_loop(model, loaded, request, len(tokenizer), ends)
        assert answer.tokens == tokens
        assert answer.kl == pytest.approx(kl, rel=1e-5, abs=1e-5)
        assert (answer.finish_reason == "stop") == (tokens[-1] in ends)
        assert "<|" not in answer.text


def test_an_end_of_turn_ends_the_response(tmp_path):
    """The template says which token that is; the model's configuration names another."""
    written = shaped(LLAMA, True)
    model = family_model("llama", tmp_path / "base", written, vocab_size=272)
    end = written.convert_tokens_to_ids("<|eot|>")
    source = resolve(str(tmp_path / "base"))
    requests = [GuidedRequest(tuple(render(written, TALKS[0])), max_new_tokens=200, seed=i) for i in range(6)]
    answers = load_decoder(source, {}, dtype="float32").generate(requests)
    stopped = [a for a in answers if a.tokens[-1] == end]
    assert stopped and all(a.finish_reason == "stop" and end not in a.tokens[:-1] for a in stopped)
    assert model.generation_config.eos_token_id != end

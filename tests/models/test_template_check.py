"""A chat template that does not do its work is refused when a tokenizer is loaded, by key, line and words."""

import shutil
import time

import pytest
from family_templates import FAMILIES
from toy_tokenizers import BARE, GEMMA, LLAMA, sentencepiece
from toys import CHAT_TEMPLATE, byte_tokenizer

from genarm.config.load import check_params
from genarm.errors import ConfigError, ModelError
from genarm.models import load_tokenizer, resolve
from genarm.models.chat_template import LeftOut, assistant_turn, prompt_text
from genarm.models.template_check import check_template
from genarm.types import Message

LOOP = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
OPEN = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
REFUSED = {
    "another key": (CHAT_TEMPLATE.replace("content", "text"), "renders '<.user.><.end.><.assistant.>' for"),
    "a constant": ("{{ 'Hello' }}", "renders 'Hello' for every prompt"),
    "parts": (LOOP.replace("m['content']", "m['content'][0].text") + OPEN, "renders .* for every prompt"),
    "cut": (LOOP.replace("m['content']", "m['content'][:9]") + OPEN, "leaves out the text of a message"),
    "a typo": ("\n" + CHAT_TEMPLATE.replace("prompt %}", "prompt }"), r"line 2: unexpected '}'"),
    "no end": (CHAT_TEMPLATE[:-11], r"line 1: Unexpected end of template"),
    "undefined": ("{% if x %}{% endif %}\n\n{{ x + 'a' }}" + LOOP + OPEN, "line 3: 'x' is undefined"),
    "refusal": ("{{ raise_exception('not today') }}" + LOOP, "line 1: not today"),
    "a wrong type": ("\n\n\n{{ 1 + 'a' }}" + LOOP + OPEN, "line 4: TypeError: unsupported operand"),
    "not opened": (LOOP, "does not open .* ends with 'Why.*<.end.>'.* begins with '<.assistant.>Bec"),
    "another turn": (LOOP + OPEN.replace("assistant", "user"), r"does not open the assistant's turn"),
    "at random": (LOOP + "{{ range(99999) | random }}" + OPEN, "renders one question as"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_template_that_does_not_do_its_work_is_refused(kind, toy):
    template, told = REFUSED[kind]
    with pytest.raises(ModelError, match=f"^base.chat_template.*{told}") as caught:
        load_tokenizer(resolve(str(toy.folder), chat_template=template))
    assert caught.value.hint and "\n" not in str(caught.value)


def test_the_tokenizers_own_template_is_named_by_its_file(toy, tmp_path):
    folder = shutil.copytree(toy.folder, tmp_path / "m")
    (folder / "chat_template.jinja").write_text(REFUSED["a typo"][0])
    with pytest.raises(ModelError, match=r"chat_template\.jinja, line 2: unexpected '}'"):
        load_tokenizer(resolve(str(folder)))


@pytest.mark.parametrize("template", ["templates/chat.jinja", "chat", "/etc/passwd", "You answer."])
def test_a_path_is_refused_when_the_parameters_are_read(template):
    with pytest.raises(ConfigError, match=r"base.chat_template: .* is no template.*a path is not read"):
        check_params({"base": {"model": "m", "chat_template": template}}, "params.yaml")


@pytest.mark.parametrize("family", FAMILIES)
def test_templates_of_known_families_pass(family):
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    tokenizer.chat_template = FAMILIES[family]
    check_template(tokenizer, family)


@pytest.mark.parametrize("template", [BARE, GEMMA, LLAMA])
def test_templates_of_tokenizers_of_sentencepieces_kind_pass(template):
    check_template(sentencepiece(template), "toy")


def test_a_conversation_that_the_template_refuses_is_told_with_its_words(toy):
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}\n{{ raise_exception('no system') }}{% endif %}"
        "{% endfor %}" + CHAT_TEMPLATE
    )
    tokenizer = load_tokenizer(resolve(str(toy.folder), chat_template=template))
    with pytest.raises(ModelError, match="refuses a conversation of system, user, line 2: no system"):
        prompt_text(tokenizer, [Message("system", "s"), Message("user", "u")])


TALK = [
    Message("system", "Be brief."),
    Message("user", "Why?"),
    Message("assistant", "<think>So.</think>Because."),
    Message("user", "And\n" + 60 * "so "),
]
LAST = "<|user|>{{ messages[-1].content }}"
WITHOUT = "{% for m in messages if m.role != 'ROLE' %}{{ m.content }}{% endfor %}"
WRITTEN = "{% for m in messages %}{{ WHAT }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "left_out"),
    [
        (LAST, r"message 1 of 4 \(system\)"),
        (WITHOUT.replace("ROLE", "system"), r"message 1 of 4 \(system\)"),
        (WITHOUT.replace("ROLE", "assistant"), r"message 3 of 4 \(assistant\)"),
        (WRITTEN.replace("WHAT", "m.content[:40]"), r"message 4 of 4 \(user\)"),
    ],
)
def test_a_message_that_the_template_leaves_out_is_told(template, left_out):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(LeftOut, match=f"leaves out {left_out}"):
        prompt_text(tokenizer, TALK)
    assert assistant_turn(tokenizer).end == tokenizer.eos_token_id


@pytest.mark.parametrize("what", ["m.content | trim", "m.content.split('</think>')[-1]", "m.content.split()"])
def test_white_space_and_past_thoughts_may_be_left_out(what):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = WRITTEN.replace("WHAT", what.replace("split()", "split() | join(' ')"))
    assert "Because." in prompt_text(tokenizer, TALK)


def test_the_check_costs_next_to_nothing(toy):
    check_template(toy.tokenizer, "toy")  # compiled once
    start = time.perf_counter()
    check_template(toy.tokenizer, "toy")
    assert time.perf_counter() - start < 0.05

"""A template that writes the date writes the same one in training, answering, chat and pyfunc, for ever."""

import datetime
import json

import pytest
from jinja2.exceptions import TemplateError
from toys import CHAT_TEMPLATE

from genarm.models import load_tokenizer, render, resolve
from genarm.models.arm import CARD, read_card
from genarm.models.template_date import DATE, pin_date, pinned_date
from genarm.types import Message

CLOCK = "Now: {{ strftime_now('%H:%M:%S.%f') }}"
LLAMA = (
    "{%- if not date_string is defined %}\n"
    "    {%- if strftime_now is defined %}\n"
    '        {%- set date_string = strftime_now("%d %b %Y") %}\n'
    "    {%- else %}\n"
    '        {%- set date_string = "26 Jul 2024" %}\n'
    "    {%- endif %}\n"
    "{%- endif %}\n"
    "Today Date: {{ date_string }}\n"
)
ASK = [Message("user", "hi")]


def rendered(toy, template: str) -> str:
    tokenizer = load_tokenizer(resolve(str(toy.folder), chat_template=template + CHAT_TEMPLATE))
    assert pinned_date(tokenizer.chat_template) == (None if template == "" else "2024-07-26")
    return tokenizer.decode(render(tokenizer, ASK)).removesuffix("<|user|>hi<|end|><|assistant|>")


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("", ""),
        (CLOCK, "Now: 12:00:00.000000"),
        (LLAMA, "Today Date: 26 Jul 2024\n"),
        ("{{ strftime_now('%A %-d.%-m.%y %% %%d %d%%') }}", "Friday 26.7.24 % %d 26%"),
        ("{% macro year() %}{{ strftime_now('%Y')|int - 1 }}{% endmacro %}{{ year() }}", "2023"),
    ],
)
def test_the_date_is_the_pinned_one_in_every_form(template, told, toy):
    assert rendered(toy, template) == told


def test_every_directive_is_as_python_writes_it(toy):
    noon = datetime.datetime.combine(DATE, datetime.time(12))
    form = "%a %A %w %d %b %B %m %y %Y %H %I %p %M %S %f %j %U %W %c %x %X %G %u %V %e %-d %-m %-H %-j"
    form += " %D %F %R %T %h %C %z %Z"
    assert rendered(toy, f"{{{{ strftime_now('{form}') }}}}") == noon.strftime(form)


@pytest.mark.parametrize("start", ["", "\n", "  ", "\n\n", "{%- if true -%} \n x{% endif %}\n"])
def test_apart_from_the_clock_the_template_writes_what_it_wrote(start, toy):
    """White space at its start included, which Jinja drops before some blocks."""
    unused = start + CHAT_TEMPLATE + "{% if false %}{{ strftime_now('%Y') }}{% endif %}"
    texts = []
    for template in (unused, pin_date(unused), pin_date(pin_date(unused))):
        toy.tokenizer.chat_template, kept = template, toy.tokenizer.chat_template
        try:
            texts.append(
                toy.tokenizer.apply_chat_template([{"role": "user", "content": "q"}], tokenize=False)
            )
        finally:
            toy.tokenizer.chat_template = kept
    assert texts[0] == texts[1] == texts[2]


def test_a_mistake_is_told_with_the_line_that_the_author_sees(toy):
    with pytest.raises(Exception, match=r"base.chat_template, line 2: 'x' is undefined") as caught:
        rendered(toy, CLOCK + "\n{{ x.y }}")
    assert isinstance(caught.value.__cause__, TemplateError)


def test_several_templates_by_name_are_pinned_each():
    pinned = pin_date({"default": CLOCK, "tools": "plain"})
    assert isinstance(pinned, dict)
    assert (pinned["default"].endswith(CLOCK), pinned["tools"]) == (True, "plain")
    assert pinned_date(pinned) == "2024-07-26"


def test_cards_from_before_the_date_are_read(toy, tmp_path):
    from toy_arms import card
    from toys import toy_model

    from genarm.models.arm import write_card

    toy_model(seed=7, layers=2).save_pretrained(tmp_path)
    write_card(tmp_path, card(resolve(str(toy.folder))))
    fields = json.loads((tmp_path / CARD).read_text())
    del fields["template_date"], fields["chat_template"]
    (tmp_path / CARD).write_text(json.dumps(fields))
    assert read_card(tmp_path).template_date is None

"""A base whose chat template writes the time: the same bytes each time, and a card that names the date."""

import json
import shutil

import pytest
from toy_training import run
from toys import CHAT_TEMPLATE

from genarm.decoding import GuidedRequest, load_decoder
from genarm.models import load_tokenizer, render, resolve
from genarm.models.arm import read_card
from genarm.registry.pyfunc_api import load_arm
from genarm.types import Message

CLOCK = "Now: {{ strftime_now('%H:%M:%S.%f') }}" + CHAT_TEMPLATE


@pytest.fixture
def base(toy):
    return resolve(str(toy.folder), chat_template=CLOCK)


@pytest.mark.usefixtures("cache")
def test_the_same_inputs_give_the_same_bytes_with_and_without_the_cache(toy, base, tmp_path, monkeypatch):
    monkeypatch.setenv("GENARM_CACHE", str(tmp_path / "cache"))
    first = run(toy, tmp_path / "a", base=base).card
    shutil.rmtree(tmp_path / "cache" / "tokens")
    again = run(toy, tmp_path / "b", base=base).card
    assert first.adapter_sha256 == again.adapter_sha256
    assert (first.template_date, first.chat_template) == ("2024-07-26", CLOCK)
    assert read_card(tmp_path / "a" / "arm") == first


@pytest.mark.usefixtures("cache")
def test_a_stored_version_answers_under_the_template_that_it_was_trained_with(toy, base, tmp_path):
    run(toy, tmp_path, base=base)
    stored = load_arm(tmp_path / "arm", {"dtype": "float32"})
    ask = {"prompt": "hi", "max_new_tokens": 8, "seed": 3}
    prompt = tuple(render(load_tokenizer(base), [Message("user", "hi")]))
    decoder = load_decoder(base, {"loud": tmp_path / "arm"}, dtype="float32")
    (answer,) = decoder.generate([GuidedRequest(prompt, {"loud": 1.0}, max_new_tokens=8, seed=3)])
    assert stored.answer([ask])[0]["response"] == answer.text
    card = json.loads((tmp_path / "arm" / "arm.json").read_text())
    assert card["chat_template"] == CLOCK


def test_the_card_of_a_plain_template_names_no_date(trained):
    _, result = trained
    assert (result.card.template_date, result.card.chat_template) == (None, None)

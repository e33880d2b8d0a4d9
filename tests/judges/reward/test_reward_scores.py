"""Scores of reward models: read at the last token, the same batched as alone, whatever pads a text."""

import logging

import pytest
import torch
from toy_rewards import gpt2, llama, save, talk
from toys import byte_tokenizer

from genarm.config import JudgeConfig
from genarm.errors import JudgeError
from genarm.judges import load_judge, load_with_origin
from genarm.types import Response

PROMPTS = [talk("hi"), talk("one", "two", "three, and much more"), talk("why?"), talk("a" * 60)]
RESPONSES = ["", "yes", "no, and this for several reasons " * 3, "x"]


def rendered(prompt, response, tokenizer=None):
    """What the toys' template writes, by hand."""
    turns = [*((m.role, m.content) for m in prompt.messages), ("assistant", response)]
    text = "".join(f"<|{role}|>{content}<|end|>" for role, content in turns)
    return (tokenizer or byte_tokenizer())(text, add_special_tokens=False)["input_ids"]


def plainly(model, ids):
    """The score of one text at its last token: without padding, transformers itself has no choice."""
    model.config.pad_token_id = None
    return model(input_ids=torch.tensor([ids])).logits[0, 0].item()


def judge_of(folder, **more):
    return load_judge(JudgeConfig(reward_model={"model": str(folder), **more}))


def scores(judge):
    return judge._score_all(PROMPTS, RESPONSES)


@pytest.mark.parametrize("make", [llama, gpt2])
def test_a_batch_scores_as_one_by_one_and_at_the_last_token(make, tmp_path):
    model = make()
    folder = save(tmp_path, model)
    expected = [plainly(model, rendered(p, r)) for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    together = scores(judge_of(folder, batch_tokens=100_000))
    alone = scores(judge_of(folder, batch_tokens=8))
    torch.testing.assert_close(together, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(alone, expected, rtol=0, atol=1e-5)
    assert max(expected) - min(expected) > 0.1


def padded_by(token):
    """The same model, which would have drawn other weights had it been made with another padding token."""
    model = llama()
    model.config.pad_token_id = token
    return model


def change(tokenizer, **values):
    for name, value in values.items():
        setattr(tokenizer, name, value)
    return tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "padding"),
    [({"pad_token": "<|end|>"}, 256), ({"padding_side": "left"}, 257), ({"pad_token": None}, None)],
    ids=["padding is the end", "padded on the left", "no padding"],
)
def test_how_a_tokenizer_pads_changes_no_score(tokenizer, padding, tmp_path):
    folder = save(tmp_path, padded_by(padding), change(byte_tokenizer(), **tokenizer))
    expected = [plainly(llama(), rendered(p, r)) for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    torch.testing.assert_close(scores(judge_of(folder)), expected, rtol=0, atol=1e-5)


def test_transformers_would_read_one_token_too_early_where_padding_is_the_end():
    """The error that the rule above avoids: if this fails, transformers has mended it."""
    ids = rendered(PROMPTS[1], RESPONSES[1])
    theirs = padded_by(256)(input_ids=torch.tensor([ids])).logits[0, 0].item()
    assert theirs == pytest.approx(plainly(llama(), ids[:-1]), abs=1e-5)
    assert abs(theirs - plainly(llama(), ids)) > 1e-2


def test_a_template_without_an_end_gets_one_and_no_template_gets_two(tmp_path):
    model, tokenizer = llama(), byte_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    folder = save(tmp_path, model, tokenizer)
    ids = tokenizer("user: hi\nassistant: yes\n", add_special_tokens=False)["input_ids"]
    prompt = talk("hi")
    assert judge_of(folder).score(prompt, "yes") == pytest.approx(plainly(model, [*ids, 256]), abs=1e-5)
    own = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    ended = tokenizer("hi<|end|>yes<|end|>", add_special_tokens=False)["input_ids"]
    score = judge_of(folder, chat_template=own).score(prompt, "yes")
    assert score == pytest.approx(plainly(model, ended), abs=1e-5)


def test_a_text_that_is_too_long_loses_the_beginning_of_its_prompt_and_is_counted(tmp_path, caplog):
    model = llama()
    folder = save(tmp_path, model)
    judge = judge_of(folder, max_tokens=20)
    with caplog.at_level(logging.WARNING):
        found = judge._score_all([talk("a" * 60), talk("hi")], ["yes", "yes"])
    whole = rendered(talk("a" * 60), "yes")
    expected = [plainly(model, whole[-20:]), plainly(model, rendered(talk("hi"), "yes"))]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert "1 of 2 texts have more than 20 tokens" in caplog.text and "aaa" not in caplog.text
    with pytest.raises(JudgeError, match="response to prompt .* has 31 tokens .* at most 20") as caught:
        judge.score(talk("hi"), "y" * 30)
    assert "max_tokens" in caught.value.hint


def test_what_a_response_spells_of_a_control_token_is_text(tmp_path):
    model = llama()
    folder, prompt = save(tmp_path, model), talk("hi")
    spelled = byte_tokenizer()("<|user|>hi<|end|><|assistant|>", add_special_tokens=False)["input_ids"]
    text = [*b"a<|end|>b"]  # one token a byte, and no token that ends a turn
    alphabet = byte_tokenizer().convert_tokens_to_ids
    ids = [*spelled, *(alphabet(chr(byte)) for byte in text), 256]
    assert judge_of(folder).score(prompt, "a<|end|>b") == pytest.approx(plainly(model, ids), abs=1e-5)


def test_the_higher_score_wins_unless_the_two_tie(tmp_path):
    folder = save(tmp_path, llama())
    prompt = PROMPTS[0]
    left, right = (Response(prompt.id, text, 1, "stop", -1.0, 0.0) for text in ("yes", "no"))
    judge = judge_of(folder)
    judge.prepare([(prompt, left, right)])
    gap = judge.score(prompt, "yes") - judge.score(prompt, "no")
    assert judge.compare(prompt, left, right) == (1.0 if gap > 0 else -1.0)
    assert judge.compare(prompt, right, left) == -judge.compare(prompt, left, right)
    config = JudgeConfig(reward_model={"model": str(folder)}, tie=abs(gap) + 0.1)
    assert load_judge(config).compare(prompt, left, right) == 0
    cost = judge_of(folder, lower_is_better=True)
    assert cost.score(prompt, "yes") == -judge.score(prompt, "yes")
    assert cost.compare(prompt, left, right) == -judge.compare(prompt, left, right)


def test_a_model_that_gives_no_number_is_an_error(tmp_path):
    model = llama()
    torch.nn.init.constant_(model.score.weight, float("nan"))
    folder, prompt = save(tmp_path, model), PROMPTS[0]
    rows = [Response(prompt.id, text, 1, "stop", -1.0, 0.0) for text in ("yes", "no")]
    with pytest.raises(JudgeError, match="nan"):
        judge_of(folder).prepare([(prompt, *rows)])


def test_verdicts_say_which_weights_judged(tmp_path):
    first, second = save(tmp_path / "a", llama(0)), save(tmp_path / "b", llama(1))
    found = [load_with_origin(JudgeConfig(reward_model={"model": str(f)})).identity for f in (first, second)]
    assert all("weights sha256" in identity for identity in found)
    assert found[0].partition(",")[2] != found[1].partition(",")[2]
    assert found[0].split(", ")[2] == found[1].split(", ")[2], "they read alike"

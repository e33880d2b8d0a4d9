"""Prompts become responses: same luck for all sides, room checked before any work."""

import pytest
import torch
from toy_arms import make_arm

from genarm.config import SamplingConfig
from genarm.decoding import GuidedResponse, TokenRewards, load_decoder
from genarm.errors import RequestError
from genarm.evaluation.respond import guidance_by_token, prompt_seed, respond
from genarm.models import resolve
from genarm.types import Message, Prompt

torch.set_num_threads(1)

PROMPTS = [Prompt((Message("user", text),)) for text in ("hi", "what is a lighthouse for?", "ok")]
SAMPLING = SamplingConfig(max_new_tokens=12, seed=4, top_p=1.0)


@pytest.fixture(scope="module")
def decoder(toy, tmp_path_factory):
    source = resolve(str(toy.folder))
    folder = make_arm(
        tmp_path_factory.mktemp("arm"), source, toy.model, seed=0,
        layers_to_transform=[3], target_modules=["q_proj", "up_proj"],
    )  # fmt: skip
    return load_decoder(source, {"kind": folder}, dtype="float32")


def test_responses_answer_the_prompts_in_order_and_say_how_far_they_were_guided(toy, decoder):
    guided = respond(PROMPTS, decoder, toy.tokenizer, weights={"kind": 1.0}, sampling=SAMPLING)
    base = respond(PROMPTS, decoder, toy.tokenizer, weights={}, sampling=SAMPLING)
    assert [r.prompt_id for r in guided] == [p.id for p in PROMPTS]
    assert all(r.kl > 0 and r.base_logprob < 0 and 1 <= r.tokens <= 12 for r in guided)
    assert all(r.kl == 0 for r in base)


def test_a_prompt_draws_the_same_in_any_file_and_another_seed_changes_it(toy, decoder):
    heard = []
    base = respond(PROMPTS, decoder, toy.tokenizer, weights={}, sampling=SAMPLING, on_tokens=heard.append)
    again = respond(PROMPTS[::-1], decoder, toy.tokenizer, weights={"kind": 0.0}, sampling=SAMPLING)
    assert {r.prompt_id: r.text for r in base} == {r.prompt_id: r.text for r in again}
    assert sum(heard) == sum(r.tokens for r in base)
    other = SAMPLING.model_copy(update={"seed": 5})
    assert respond(PROMPTS, decoder, toy.tokenizer, weights={}, sampling=other) != base
    assert len({prompt_seed(s, p) for s in (4, 5) for p in PROMPTS}) == 6


def test_where_guidance_acted_is_noted_on_some_prompts_and_changes_none(toy, decoder, monkeypatch):
    given = {"weights": {"kind": 1.0}, "sampling": SAMPLING}
    noted = respond(PROMPTS, decoder, toy.tokenizer, **given)
    for answer in noted:
        assert len(answer.guidance) == answer.tokens
        assert sum(characters for characters, _ in answer.guidance) == len(answer.text)
        assert any(abs(nats) > 0.1 for _, nats in answer.guidance)
    monkeypatch.setattr("genarm.evaluation.respond.TRACED", 1)
    few = respond(PROMPTS, decoder, toy.tokenizer, **given)
    assert [r.prompt_id for r in few if r.guidance] == [min(p.id for p in PROMPTS)]
    assert [r.text for r in few] == [r.text for r in noted]
    unguided = respond(PROMPTS, decoder, toy.tokenizer, weights={}, sampling=SAMPLING)
    assert not any(r.guidance for r in unguided)


def test_characters_are_those_of_the_text_also_where_a_token_is_part_of_one(toy):
    """The toy's tokens are bytes: an accented e is the second one's, and nothing follows a stop string."""
    tokens = tuple(toy.tokenizer.encode("é!?", add_special_tokens=False))
    rewards = tuple(TokenRewards(-2.0, -1.5, {}) for _ in tokens)
    answer = GuidedResponse(tokens, "é!", "stop", -8.0, 0.1, rewards)
    assert guidance_by_token(toy.tokenizer, answer) == [(0, 0.5), (1, 0.5), (1, 0.5), (0, 0.5)]


def test_a_prompt_without_room_for_a_response_is_named(toy, decoder):
    long = Prompt((Message("user", "x" * 600),))
    with pytest.raises(RequestError, match=rf"prompt {long.id} has 603 tokens.* 12 new .*context of 512"):
        respond([*PROMPTS, long], decoder, toy.tokenizer, weights={}, sampling=SAMPLING)

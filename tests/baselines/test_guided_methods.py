"""Guided, base, sharpened and proxy tuning equal the plain loop; each counts the tokens that it read."""

import dataclasses

import pytest
import torch
from toy_arms import (
    PROMPTS,
    as_peft_loads_it,
    assert_equals_plain,
    card,
    make_arm,
    mixed_requests,
    other_model,
    strong_base,
)
from toys import toy_model

from genarm.baselines.best_of_n import BestOfN
from genarm.baselines.guided import Guided, base, proxy_tuning, sharpened
from genarm.baselines.selection import ByLikelihood
from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import ConfigError, RequestError
from genarm.models import resolve
from genarm.models.arm import write_card

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(toy, tmp_path_factory):
    """A decoder with a LoRA on the base (`own`), and a small full model (`tuned`) with its start."""
    root = tmp_path_factory.mktemp("guided")
    own = make_arm(root / "own", resolve(str(toy.folder)), toy.model, seed=3)
    untuned = other_model(toy, root / "untuned")
    tuned = toy_model(seed=11, layers=2)
    tuned.save_pretrained(root / "tuned")
    toy.tokenizer.save_pretrained(root / "tuned")
    write_card(root / "tuned", card(resolve(str(root / "untuned"))))
    folders = {"own": own, "tuned": root / "tuned"}
    engine = load_decoder(resolve(str(toy.folder)), folders, dtype="float32", contrast=True, batch_size=3)
    return engine, {"own": as_peft_loads_it(toy.model, own), "tuned": tuned}, {"tuned": untuned}


def unweighted(requests):
    return [dataclasses.replace(r, weights={}, guidance="sum") for r in requests]


def read_of(requests, answers) -> int:
    """Tokens that one row of each request reads: all but the last; the prompts here are all different."""
    return sum(len(r.prompt) + len(a.tokens) - 1 for r, a in zip(requests, answers, strict=True))


def test_guided_is_the_plain_loop_and_counts_a_row_of_base_and_arm(toy, world):
    engine, arms, _ = world
    requests = mixed_requests([{"own": 0.7}])
    method = Guided(engine, {"own": 0.7})
    answers = method.generate(unweighted(requests))
    assert_equals_plain(answers, requests, toy.model, arms)
    assert method.passes == {"base": read_of(requests, answers), "arm": read_of(requests, answers)}


def test_base_reads_nothing_but_the_base_and_methods_on_one_engine_count_apart(toy, world):
    engine, _, _ = world
    requests = mixed_requests([{}])
    method, other = base(engine), Guided(engine, {"own": 1.0})
    other.generate(requests[:1])
    answers = method.generate(requests)
    assert_equals_plain(answers, requests, toy.model, {})
    assert method.passes == {"base": read_of(requests, answers)}
    assert other.passes["arm"] == other.passes["base"] < method.passes["base"]


def test_sharpened_is_the_base_at_a_lower_temperature_with_its_divergence_measured(toy, world):
    """The plain loop has the base as its own ARM: p^(1 + w), which is the base at T / (1 + w)."""
    engine, _, _ = world
    requests = mixed_requests([{"base": 0.6}])
    method = sharpened(engine, 0.6)
    answers = method.generate(unweighted(requests))
    assert_equals_plain(answers, requests, toy.model, {"base": toy.model})
    cooler = [dataclasses.replace(r, weights={}, temperature=r.temperature / 1.6) for r in requests]
    assert [a.tokens for a in answers] == [a.tokens for a in engine.generate(cooler)]
    assert method.passes == {"base": read_of(requests, answers)}  # the control costs what the base costs


def test_proxy_tuning_is_the_plain_loop_and_counts_both_small_models(toy, world):
    engine, arms, starts = world
    requests = [
        dataclasses.replace(r, guidance="contrast") for r in mixed_requests([{"tuned": 1.0}, {"tuned": 1.0}])
    ]
    method = proxy_tuning(engine, "tuned")
    answers = method.generate(unweighted(requests))
    assert_equals_plain(answers, requests, toy.model, arms, starts=starts)
    read = read_of(requests, answers)
    assert method.passes == {"base": read, "arm": 2 * read}


@torch.no_grad()
def test_best_by_the_implicit_reward_of_an_arm_with_a_start_of_its_own(toy, world):
    engine, arms, starts = world
    method = BestOfN(base(engine), ByLikelihood(engine, "tuned", "implicit"), 4)
    chosen = method.ranked([GuidedRequest(PROMPTS[0], seed=i, max_new_tokens=6) for i in range(3)])
    read = 0
    for candidates, best in chosen:
        rewards = []
        for c in candidates:
            ids = torch.tensor([[*c.request.prompt, *c.response.tokens]])
            of = [m["tuned"](input_ids=ids).logits[0, 2:-1, :261].log_softmax(-1) for m in (arms, starts)]
            rewards.append(float((of[0] - of[1]).gather(-1, ids[0, 3:, None]).sum()))
        assert best == rewards.index(max(rewards))
        read += sum(len(c.response.tokens) for c in candidates)
    # The prompt's other two tokens: drawn from once, and read for each 3 of the 12 candidates by both models.
    assert method.passes == {"base": 2 + read, "arm": 2 * (4 * 2 + read)}


def test_proxy_tuning_wants_a_proxy(toy, world):
    engine, _, _ = world
    with pytest.raises(ConfigError, match="'own' is on the base's own weights"):
        proxy_tuning(engine, "own")
    with pytest.raises(ConfigError, match="'tined', which is not loaded"):
        proxy_tuning(engine, "tined")


def test_a_shared_prompt_is_read_once_and_a_free_slot_reads_nothing(world):
    """Three requests on one prompt of 11 tokens, the responses of 2, 5 and 9: 10 + 2 + 5 + 9 tokens."""
    engine, _, _ = world
    requests = [
        GuidedRequest(PROMPTS[4], seed=i, max_new_tokens=n, ignore_eos=True) for i, n in enumerate((2, 5, 9))
    ]
    method = Guided(engine, {"own": 0.5})
    method.generate(requests)
    assert method.passes == {"base": 26, "arm": 26}


def test_a_stream_counts_as_it_is_read(world):
    engine, _, _ = world
    method, other = Guided(engine, {"own": 0.5}), base(engine)
    request = GuidedRequest(PROMPTS[0], seed=1, max_new_tokens=6, ignore_eos=True)
    stream, beside = method.session().submit(request), other.session().submit(request)
    pieces = iter(stream)
    next(pieces)
    assert method.passes["base"] == len(PROMPTS[0]) and not other.passes
    beside.response()
    assert len(list(pieces)) == 5 and method.passes == {"base": 8, "arm": 8} and other.passes == {"base": 8}
    assert stream.response() == method.generate([request])[0]


def test_drafts_that_were_refused_were_read_too(toy, tmp_path):
    """Of one request alone, every id that reaches a model's embedding is a token that it read."""
    strong = strong_base(toy, tmp_path / "strong", noise=0.2)
    small = make_arm(tmp_path / "small", resolve(str(toy.folder)), toy.model, seed=9)
    engine = load_decoder(
        resolve(str(tmp_path / "strong")), {"small": small}, dtype="float32", speculate=True
    )
    del strong
    seen = [0, 0]
    for which, part in enumerate(engine.parts):

        def count(module, args, which=which):
            seen[which] += args[0].numel()

        part.trunk.model.get_input_embeddings().register_forward_pre_hook(count)
    request = GuidedRequest(PROMPTS[0], {"small": 0.5}, seed=2, max_new_tokens=24, ignore_eos=True)
    engine.generate([request])
    assert engine.policy.acceptance < 1  # some were
    assert engine.passes["base"] == seen[0] > 26
    assert engine.passes["arm"] == 2 * seen[1]  # the draft's bare row, and the ARM's beside it


def test_a_method_takes_no_other_weights(world):
    engine, _, _ = world
    with pytest.raises(RequestError, match="request 1 has weights for own, and the method has its own"):
        base(engine).generate([GuidedRequest((1,)), GuidedRequest((1,), {"own": 1})])
    with pytest.raises(ConfigError, match="guided by ARM 'nobody', which is not loaded"):
        Guided(engine, {"nobody": 1})

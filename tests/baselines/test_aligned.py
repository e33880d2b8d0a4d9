"""An adapter that answers alone is PEFT's own model, costs its own passes only, is measured afterwards."""

import dataclasses
import math

import pytest
import torch
from toy_arms import as_peft_loads_it, family_model, make_arm, mixed_requests, plain_loop, replay, save_arms
from toys import toy_model

from genarm.baselines.aligned import Aligned
from genarm.baselines.reading import read_responses
from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import ConfigError, RequestError
from genarm.models import resolve

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(toy, tmp_path_factory):
    """A decoder with four LoRAs on the base and a full model beside it, and each as a model of its own."""
    root = tmp_path_factory.mktemp("aligned")
    source = resolve(str(toy.folder))
    folders = save_arms(root, source, toy.model)
    models = {name: as_peft_loads_it(toy.model, folder) for name, folder in folders.items()}
    models["full"], folders["full"] = toy_model(seed=12), root / "full"
    models["full"].save_pretrained(folders["full"])
    toy.tokenizer.save_pretrained(folders["full"])
    return load_decoder(source, folders, dtype="float32", batch_size=3), models


@pytest.mark.parametrize("name", ["all", "top", "attention", "full"])
def test_it_is_the_model_that_peft_loads_and_its_distance_is_that_from_the_base(toy, world, name):
    engine, models = world
    requests = [dataclasses.replace(r, return_rewards=True) for r in mixed_requests([{}])]
    method = Aligned(engine, name)
    answers = method.generate(requests)
    for request, answer in zip(requests, answers, strict=True):
        tokens, logprob, _ = plain_loop(models[name], {}, request)
        assert answer.tokens == tokens
        # By the definition: contrast with weight 1 is the ARM itself.
        itself = dataclasses.replace(request, weights={name: 1.0}, guidance="contrast")
        rewards, kl = replay(toy.model, {name: models[name]}, itself, tokens)
        for of in ("base", "guided"):
            got, want = ([getattr(r, of) for r in some] for some in (answer.rewards, rewards))
            assert got == pytest.approx(want, rel=1e-5, abs=1e-5)
        assert sum(r.guided for r in answer.rewards) == pytest.approx(logprob, abs=1e-5 * len(tokens))
        assert answer.base_logprob == pytest.approx(sum(r.base for r in rewards), abs=1e-5 * len(tokens))
        assert answer.kl == pytest.approx(kl, rel=1e-5, abs=1e-5) and answer.kl > 0
    read = sum(len(r.prompt) + len(a.tokens) - 1 for r, a in zip(requests, answers, strict=True))
    assert method.passes == {"aligned": read}


def test_a_model_that_is_run_whole_takes_the_adapter_too(toy, tmp_path):
    """GPT-NeoX has its parts elsewhere than Llama, so its own forward pass runs all layers at once."""
    model = family_model("gpt_neox", tmp_path / "base", toy.tokenizer)
    source = resolve(str(tmp_path / "base"))
    folder = make_arm(tmp_path / "arm", source, model, seed=1, target_modules=["query_key_value", "dense"])
    requests = mixed_requests([{}])
    answers = Aligned(load_decoder(source, {"arm": folder}, dtype="float32"), "arm").generate(requests)
    adapted = as_peft_loads_it(model, folder)
    assert [a.tokens for a in answers] == [plain_loop(adapted, {}, r)[0] for r in requests]


def test_unmeasured_it_costs_no_second_reading_and_says_so(world):
    engine, _ = world
    before = dict(engine.passes)
    answer = Aligned(engine, "top", measured=False).generate([GuidedRequest((1, 2), max_new_tokens=3)])[0]
    assert math.isnan(answer.kl) and math.isnan(answer.base_logprob)
    assert engine.passes == before


def test_a_stream_ends_with_the_same_response(world):
    engine, _ = world
    method = Aligned(engine, "middle")
    request = GuidedRequest((5, 6, 7), seed=3, max_new_tokens=8)
    stream = method.session().submit(request)
    pieces = list(stream)
    assert stream.response() == method.generate([request])[0]
    assert tuple(p.token for p in pieces) == stream.response().tokens
    with pytest.raises(RequestError, match="rewards piece by piece"):
        method.session().submit(dataclasses.replace(request, return_rewards=True))


def test_what_it_does_not_serve(world):
    engine, _ = world
    with pytest.raises(ConfigError, match="the aligned model 'dpo' is not loaded"):
        Aligned(engine, "dpo")
    with pytest.raises(RequestError, match="request 0 has weights for top, and 'all' answers alone"):
        Aligned(engine, "all").generate([GuidedRequest((1,), {"top": 1})])


@torch.no_grad()
def test_readings_are_those_of_whole_passes_whatever_the_chunks(toy, world, monkeypatch):
    """Seven responses of 1 to 9 tokens on three prompts, three at a time and a column or two a pass."""
    engine, models = world
    monkeypatch.setattr("genarm.baselines.reading.LOGITS", 2 * 3 * engine.vocab)
    prompts = [(1, 2, 3), (9,), (1, 2, 3), tuple(range(40, 60)), (1, 2, 3), (9,), (1, 2, 3)]
    responses = [tuple((7 * i + 3 * t) % 250 for t in range(n)) for i, n in enumerate((4, 1, 9, 2, 5, 9, 1))]
    before = dict(engine.passes)
    readings = read_responses(engine, "top", prompts, responses, base=True, start=True)
    for prompt, tokens, reading in zip(prompts, responses, readings, strict=True):
        ids = torch.tensor([[*prompt, *tokens]])
        of = {
            who: model(input_ids=ids).logits[0, len(prompt) - 1 : -1, :261].log_softmax(-1)
            for who, model in (("base", toy.model), ("arm", models["top"]))
        }
        drawn = torch.arange(len(tokens)), torch.tensor(tokens)
        kl = (of["arm"].exp() * (of["arm"] - of["base"])).sum(-1)
        for got, want in (
            (reading.arm, of["arm"][drawn]),
            (reading.base, of["base"][drawn]),
            (reading.start, of["base"][drawn]),
            (reading.kl, kl),
        ):
            torch.testing.assert_close(torch.from_numpy(got), want.double(), rtol=1e-5, atol=1e-5)
    # (9,) twice and (1, 2, 3) once, then (1, 2, 3) three times, then the long one: a prompt a group.
    read = 31 + 0 + 2 + 2 + 19
    assert {part: n - before[part] for part, n in engine.passes.items()} == {"base": read, "arm": read}

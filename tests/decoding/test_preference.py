"""A preference vector a request: each in one batch is answered by the LoRA that the PARM is at its vector."""

import dataclasses
import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_arms import (
    LINEAR,
    PROMPTS,
    as_peft_loads_it,
    assert_equals_plain,
    card,
    each_alone,
    make_arm,
    mixed_requests,
)
from toy_parm import make_parm, merged

from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import AdapterError, RequestError
from genarm.models import resolve
from genarm.models.arm import CONFIG, WEIGHTS, write_card

torch.set_num_threads(1)

LAYERS = {"layers_to_transform": [1, 2, 3], "target_modules": LINEAR}
VECTORS = [{"loud": 1.0}, {"loud": 0.3, "brief": 0.7}, {"brief": 1}, {"loud": 0.5, "brief": 0.5}]


@pytest.fixture(scope="module")
def folders(toy, tmp_path_factory):
    """Two PARMs, of which the second knows one more dimension, and an ARM that is none, beside them."""
    root, source = tmp_path_factory.mktemp("parms"), resolve(str(toy.folder))
    top = {"layers_to_transform": [2, 3], "target_modules": ["q_proj", "v_proj", "down_proj"]}
    return {
        "parm": make_parm(root / "parm", source, toy.model, seed=1, **top),
        "more": make_parm(root / "more", source, toy.model, seed=2, dimensions=("kind", "loud", "brief")),
        "plain": make_arm(root / "plain", source, toy.model, seed=3, r=2, **LAYERS),
    }


def requests_of(weights) -> list[GuidedRequest]:
    """Prompts twice, each time at another vector; weights and vectors in rotation."""
    twice = [*mixed_requests([weights]), *mixed_requests([weights])]
    return [
        dataclasses.replace(request, preference=VECTORS[i % 4], seed=i) for i, request in enumerate(twice)
    ]


def assert_each_is_plain(answers, requests, toy, folders) -> None:
    for answer, request in zip(answers, requests, strict=True):
        arms = {n: merged(toy.model, folders[n], request.preference) for n in ("parm", "more")}
        arms["plain"] = as_peft_loads_it(toy.model, folders["plain"])
        used = {name: arms[name] for name in request.weights}
        assert_equals_plain([answer], [request], toy.model, used)


@pytest.mark.parametrize("strategy", ["shared", "separate"])
def test_every_vector_of_a_batch_is_the_plain_lora(toy, folders, strategy):
    decoder = load_decoder(
        resolve(str(toy.folder)), folders, dtype="float32", strategy=strategy, batch_size=12
    )
    requests = [
        *requests_of({"parm": 0.9})[2:8],
        *requests_of({"parm": 0.4, "more": 0.5, "plain": 0.3})[:3],
        *mixed_requests([{"plain": 0.7}, {}])[:2],
        GuidedRequest(PROMPTS[0], {"parm": 0}, preference={"loud": 1}, max_new_tokens=4),
    ]
    answers = decoder.generate(requests)
    assert_each_is_plain(answers, requests, toy, folders)
    drawn = {
        r.tokens for r in decoder.generate([dataclasses.replace(requests[0], preference=v) for v in VECTORS])
    }
    assert len(drawn) > 1  # the vectors matter


@pytest.mark.parametrize("recorded", [False, True])
def test_a_slot_that_another_vector_had_keeps_nothing_of_it(toy, folders, monkeypatch, recorded):
    """Two slots for ten requests: slots are taken in place, and a recorded step is recorded anew."""
    decoder = load_decoder(resolve(str(toy.folder)), folders, dtype="float32", batch_size=2)
    monkeypatch.setattr(decoder.parts[0].trunk.recorder, "enabled", recorded)
    requests = requests_of({"parm": 0.9})
    answers, alone = decoder.generate(requests), each_alone(decoder, requests)
    assert [a.tokens for a in answers] == [a.tokens for a in alone]
    assert [a.kl for a in answers] == pytest.approx([a.kl for a in alone], rel=1e-5)


def test_arms_beside_a_parm_draw_what_they_drew_without_it(toy, folders):
    """A share of 1 multiplies their columns."""
    source, requests = resolve(str(toy.folder)), mixed_requests([{"plain": 0.7}, {}])
    alone = load_decoder(source, {"plain": folders["plain"]}, dtype="float32")
    beside = load_decoder(source, folders, dtype="float32")
    assert [a.tokens for a in beside.generate(requests)] == [a.tokens for a in alone.generate(requests)]


@pytest.mark.parametrize(
    ("preference", "message"),
    [
        ({"loud": 1, "brief": 1}, "sums to 2, not 1.*in these proportions it is .*0.5"),
        ({"loud": 0.5}, "sums to 0.5, not 1"),
        ({"loud": 0.0}, "sums to 0, not 1"),
        ({"loud": 1.5, "brief": -0.5}, "preference for 'brief' is -0.5"),
        ({"loud": float("nan")}, "preference for 'loud' is nan"),
        ({"loud": True}, "preference for 'loud' is True"),
        ([0.5, 0.5], r"preference is \[0.5, 0.5\]"),
    ],
)
def test_vectors_off_the_simplex_are_refused(preference, message):
    with pytest.raises(RequestError) as refused:
        GuidedRequest((1,), {"parm": 1}, preference=preference)
    assert re.search(message, str(refused.value))


@pytest.mark.parametrize(
    ("weights", "preference", "message"),
    [
        ({"parm": 1}, {"loud": 0.5, "kind": 0.5}, "ARM 'parm' is not conditioned on 'kind'.*loud, brief"),
        ({"parm": 1}, {}, "does not say how ARM 'parm' weighs its dimensions, loud, brief"),
        ({"plain": 1}, {"loud": 1}, "no ARM that it names is conditioned on one: plain.*more, parm would be"),
        ({}, {"loud": 1}, "has a preference, and no ARM"),
    ],
)
def test_vectors_that_no_arm_or_another_one_asks_for_are_refused(toy, folders, weights, preference, message):
    decoder = load_decoder(resolve(str(toy.folder)), folders, dtype="float32")
    with pytest.raises(RequestError) as refused:
        decoder.generate([GuidedRequest((1,), weights, preference=preference)])
    assert re.search(message, str(refused.value))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda config, tensors: config["parm"].pop("rank"), "parm is .* not dimensions with a rank"),
        (lambda config, tensors: config["parm"].update(rank=1), "has ranks and matrices .* asks for"),
        (lambda config, tensors: tensors.pop(min(k for k in tensors if "W2" in k)), "lora_W2' is missing"),
        (lambda config, tensors: tensors.update(bias=torch.ones(1)), "'bias' is no tensor of a PARM"),
        (lambda config, tensors: config.update(target_modules=["q_proj"]), "has more than .* names"),
        (lambda config, tensors: config.update(use_dora=True), "use_dora=True"),
    ],
)
def test_a_damaged_parm_is_refused(toy, folders, tmp_path, damage, message):
    for file in folders["parm"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config, tensors = json.loads((tmp_path / CONFIG).read_text()), load_file(tmp_path / WEIGHTS)
    damage(config, tensors)
    (tmp_path / CONFIG).write_text(json.dumps(config))
    save_file(tensors, tmp_path / WEIGHTS)
    write_card(tmp_path, card(resolve(str(toy.folder))))
    with pytest.raises(AdapterError, match=message):
        load_decoder(resolve(str(toy.folder)), {"parm": tmp_path}, dtype="float32")

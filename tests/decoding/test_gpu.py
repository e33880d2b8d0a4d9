"""On a GPU, with recorded steps and without, decoding gives what it gives on the CPU: float32 toys.

Tokens are the same, log-probabilities and KL within 1e-4 a token.
"""

import dataclasses

import pytest
import torch
from toy_arms import card, make_arm, mixed_requests, other_model, save_arms
from toys import toy_model

from genarm.decoding import GuidedRequest, load_decoder
from genarm.models import resolve
from genarm.models.arm import write_card

pytestmark = [
    pytest.mark.gpu,
]
WEIGHTS = {
    "shared": [{"all": 0.6, "top": 0.3}, {}, {"middle": 0.8}],
    "separate": [{"small": 0.6, "all": 0.2}, {}, {"small": 1.2}],
    "full": [{"full": 0.7}, {"full": 0.3, "small": 0.2}],
}


@pytest.fixture(scope="module")
def folders(toy, tmp_path_factory):
    root = tmp_path_factory.mktemp("gpu")
    source = resolve(str(toy.folder))
    found = save_arms(root, source, toy.model)
    small = other_model(toy, root / "other")
    other = resolve(str(root / "other"))
    found["small"] = make_arm(root / "small", other, small, seed=9)
    toy_model(seed=11, layers=2).save_pretrained(root / "full")
    toy.tokenizer.save_pretrained(root / "full")
    write_card(root / "full", card(other))
    return found | {"full": root / "full"}


def decoders(toy, folders, names, monkeypatch, **settings):
    """One on the CPU, and one on the GPU."""
    settings = {"dtype": "float32", "batch_size": 3, "contrast": True} | settings
    source, chosen = resolve(str(toy.folder)), {name: folders[name] for name in names}
    with monkeypatch.context() as patch:
        patch.setattr(torch.accelerator, "current_accelerator", lambda *a, **k: None)
        on_cpu = load_decoder(source, chosen, **settings)
    on_gpu = load_decoder(source, chosen, **settings)
    assert (on_cpu.device.type, on_gpu.device.type) == ("cpu", "cuda")
    return on_cpu, on_gpu


def assert_same(ours, theirs):
    assert [a.tokens for a in ours] == [a.tokens for a in theirs]
    assert [a.finish_reason for a in ours] == [a.finish_reason for a in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert a.base_logprob == pytest.approx(b.base_logprob, rel=1e-4, abs=1e-4 * len(a.tokens))
        assert a.kl == pytest.approx(b.kl, rel=1e-4, abs=1e-4)


def requests_of(kind, guidance, **changes):
    names = WEIGHTS[kind]
    requests = [r for turn in range(3) for r in mixed_requests(names[turn:] + names[:turn])]
    return [dataclasses.replace(r, guidance=guidance, seed=i, **changes) for i, r in enumerate(requests)]


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("guidance", ["sum", "contrast"])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_gpu_answers_as_the_cpu(toy, folders, monkeypatch, kind, guidance, recorded):
    names = {name for weights in WEIGHTS[kind] for name in weights}
    on_cpu, on_gpu = decoders(toy, folders, names, monkeypatch)
    recorders = [part.trunk.recorder for part in on_gpu.parts]
    assert all(recorder.enabled for recorder in recorders)
    for recorder in recorders:
        recorder.enabled = recorded
    for changes in ({"top_k": 0, "top_p": 1.0}, {}):  # without cuts draws are recorded too
        requests = requests_of(kind, guidance, **changes)
        expected, before = on_cpu.generate(requests), on_cpu.passes["base"]
        assert_same(on_gpu.generate(requests), expected)
        assert_same(on_gpu.generate(requests), expected)  # by the steps that are there
        assert before
    assert all(recorder.enabled == recorded for recorder in recorders)
    assert on_gpu.passes["base"] == 2 * on_cpu.passes["base"]


@pytest.mark.parametrize("guidance", ["sum", "contrast"])
def test_speculation_on_a_gpu(toy, folders, monkeypatch, guidance):
    on_cpu, on_gpu = decoders(toy, folders, ["small", "all"], monkeypatch, speculate=True)
    requests = requests_of("separate", guidance)
    assert_same(on_gpu.generate(requests), on_cpu.generate(requests))


def test_streams_on_a_gpu_and_slots_that_are_cancelled(toy, folders, monkeypatch):
    """Requests come and go while a step is under way: what others read is theirs alone."""
    on_cpu, on_gpu = decoders(toy, folders, ["all", "top"], monkeypatch)
    prompts = [(5, 6, 7), (8, 9), (10, 11, 12, 13), (14,), (15, 16)]
    requests = [
        GuidedRequest(p, {"all": 0.5}, max_new_tokens=12 + i, seed=i, ignore_eos=True)
        for i, p in enumerate(prompts)
    ]
    expected, session = on_cpu.generate(requests), on_gpu.session()
    streams = [session.submit(request) for request in requests]
    gone = iter(streams[1])
    assert [next(gone).token for _ in range(3)] == list(expected[1].tokens[:3])
    streams[1].cancel()
    late = session.submit(requests[1])
    for i in (0, 2, 3, 4):
        assert tuple(piece.token for piece in streams[i]) == expected[i].tokens
    assert tuple(piece.token for piece in late) == expected[1].tokens


def test_a_step_is_recorded_once_for_a_number_of_slots(toy, folders, monkeypatch):
    """Whosever the guided rows are, and on the memory that it was recorded with."""
    on_cpu, on_gpu = decoders(toy, folders, ["all"], monkeypatch)
    recorder, seen = on_gpu.parts[0].trunk.recorder, []
    for guided in ({0, 1}, {1, 2}, {0, 2}, {0, 1}):
        requests = [
            GuidedRequest((5, 6, 7 + i), {"all": 0.5} if i in guided else {}, max_new_tokens=20, seed=i)
            for i in range(3)
        ]
        assert_same(on_gpu.generate(requests), on_cpu.generate(requests))
        seen.append(len(recorder.steps))
    assert seen[0] and len(set(seen)) == 1


@pytest.mark.parametrize("kind", ["shared", "separate"])
def test_compiled_layers_on_a_gpu(toy, folders, monkeypatch, kind):
    names = {name for weights in WEIGHTS[kind] for name in weights}
    on_cpu, _ = decoders(toy, folders, names, monkeypatch)
    _, on_gpu = decoders(toy, folders, names, monkeypatch, compiled=True)
    layers = on_gpu.parts[0].trunk.forward_pass.layers
    assert all(not isinstance(layer, torch.nn.Module) for layer in layers)  # compiled, then
    requests = requests_of(kind, "sum", top_k=0, top_p=1.0)
    assert_same(on_gpu.generate(requests), on_cpu.generate(requests))

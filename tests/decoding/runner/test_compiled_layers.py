"""Compiled layers give what eager ones give, and are compiled once however many there are."""

import functools

import pytest
import torch
from toy_arms import LINEAR, make_arm, mixed_requests
from toys import toy_model

from genarm.decoding import load_decoder
from genarm.decoding.runner.build_trunk import build_trunk
from genarm.models import resolve

torch.set_num_threads(1)


@pytest.fixture
def graphs(monkeypatch):
    """The graphs that torch.compile traces, which are run as they are: compiling them is another matter."""
    torch._dynamo.reset()
    traced = []

    def backend(graph, _inputs):
        traced.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    return traced


@pytest.fixture
def arm(toy, tmp_path):
    source = resolve(str(toy.folder))
    return make_arm(
        tmp_path / "arm", source, toy.model, seed=3, target_modules=LINEAR, layers_to_transform=[2, 3]
    )


@pytest.mark.parametrize("layers", [2, 6])
def test_one_graph_serves_all_layers(graphs, layers):
    """And without a break."""
    model = toy_model(layers=layers)
    trunk = build_trunk(model, [], model.config.vocab_size, compiled=True)
    assert len(graphs) == 1
    assert len(trunk.forward_pass.layers) == layers


def test_layers_keep_their_weights_and_numbers(graphs):
    model = toy_model(layers=3)
    build_trunk(model, [], model.config.vocab_size, compiled=True)
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == [0, 1, 2]


@pytest.mark.slow
def test_compiled_steps_equal_the_eager_ones(toy, arm, graphs):
    source = resolve(str(toy.folder))
    eager, compiled = (
        load_decoder(source, {"arm": arm}, dtype="float32", batch_size=3, compiled=is_compiled)
        for is_compiled in (False, True)
    )
    requests = mixed_requests([{"arm": 0.7}, {}]) * 2
    expected = eager.generate(requests)
    found = compiled.generate(requests)
    assert [r.tokens for r in found] == [r.tokens for r in expected]
    assert [r.kl for r in found] == pytest.approx([r.kl for r in expected], abs=1e-5)
    shapes = len(graphs)  # rows with adapters and without, of one request and of several
    assert shapes <= 8
    assert compiled.generate(requests) == found and len(graphs) == shapes


@pytest.mark.slow
def test_inductors_steps_equal_the_eager_ones(toy, arm):
    source = resolve(str(toy.folder))
    eager, compiled = (
        load_decoder(source, {"arm": arm}, dtype="float32", batch_size=3, compiled=is_compiled)
        for is_compiled in (False, True)
    )
    assert "_CompiledLayer" in repr(compiled.parts[0].trunk.forward_pass.layers[0])
    requests = mixed_requests([{"arm": 0.7}, {}])
    assert [r.tokens for r in compiled.generate(requests)] == [r.tokens for r in eager.generate(requests)]

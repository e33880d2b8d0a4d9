"""A recorded or compiled step gives what the eager step gives; one that cannot be recorded runs eagerly."""

import logging

import pytest
import torch
from toy_arms import LINEAR, make_arm, mixed_requests

from genarm.decoding import load_decoder
from genarm.decoding.runner.cuda_graph import CudaGraphStep
from genarm.decoding.runner.forward import LayerwiseForward
from genarm.models import resolve

torch.set_num_threads(1)


@pytest.fixture
def decoder(toy, tmp_path):
    source = resolve(str(toy.folder))
    folder = make_arm(
        tmp_path / "arm", source, toy.model, seed=3, target_modules=LINEAR, layers_to_transform=[2, 3]
    )
    made = load_decoder(source, {"arm": folder}, dtype="float32", batch_size=3)
    made.parts[0].trunk.recorder.enabled = False  # on a GPU it is on
    return made


def test_a_recorded_step_equals_the_eager_one(decoder, monkeypatch):
    requests = mixed_requests([{"arm": 0.7}, {}]) * 2
    eager = decoder.generate(requests)
    decoder.parts[0].trunk.recorder.enabled = True
    run, steps = CudaGraphStep.run, []
    monkeypatch.setattr(CudaGraphStep, "run", lambda self, *a: (steps.append(1), run(self, *a))[1])
    recorded = decoder.generate(requests)
    assert steps
    assert [r.tokens for r in recorded] == [e.tokens for e in eager]
    assert [r.kl for r in recorded] == pytest.approx([e.kl for e in eager], abs=1e-5)


def test_a_step_that_cannot_be_recorded_is_run_as_before(decoder, monkeypatch, caplog):
    requests = mixed_requests([{"arm": 0.7}])
    eager = decoder.generate(requests)
    decoder.parts[0].trunk.recorder.enabled = True

    def refuse(self):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(CudaGraphStep, "record", refuse)
    with caplog.at_level(logging.WARNING, "genarm"):
        assert decoder.generate(requests) == eager
    assert "cannot be recorded" in caplog.text and not decoder.parts[0].trunk.recorder.enabled


def test_that_steps_cannot_be_recorded_is_found_out_once(decoder, monkeypatch, caplog):
    """Every new batch would try again, and warn again."""
    tries = []

    def refuse(self):
        tries.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    decoder.parts[0].trunk.recorder.enabled = True
    monkeypatch.setattr(CudaGraphStep, "record", refuse)
    with caplog.at_level(logging.WARNING, "genarm"):
        for _ in range(2):
            decoder.generate(mixed_requests([{"arm": 0.7}]))
    assert len(tries) == len(caplog.records) == 1


@pytest.mark.slow
def test_compiled_layers_equal_the_eager_ones(toy, decoder, tmp_path):
    compiled = load_decoder(
        resolve(str(toy.folder)), {"arm": tmp_path / "arm"}, dtype="float32", batch_size=3, compiled=True
    )
    trunk = compiled.parts[0].trunk
    assert isinstance(trunk.forward_pass, LayerwiseForward)
    assert type(trunk.forward_pass.layers[0]).__name__ == "OptimizedModule"
    requests = mixed_requests([{"arm": 0.7}, {}])
    assert [r.tokens for r in compiled.generate(requests)] == [r.tokens for r in decoder.generate(requests)]

"""A recorded step gives what the eager step gives; one that cannot be recorded runs eagerly."""

import logging
from dataclasses import replace

import pytest
import torch
from toy_arms import LINEAR, make_arm, mixed_requests
from toy_parm import make_parm

from genarm.decoding import GuidedRequest, load_decoder
from genarm.decoding.runner import cuda_graph
from genarm.decoding.runner.cuda_graph import CudaGraphStep
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


@pytest.fixture
def recorded(monkeypatch):
    """One item for each step that is recorded. Steps without a batch are kept, as they are on a GPU."""
    record, made = CudaGraphStep.record, []
    monkeypatch.setattr(CudaGraphStep, "record", lambda self: (made.append(self), record(self))[1])
    monkeypatch.setattr(cuda_graph, "bytes_to_keep", lambda device: 2**30)
    return made


def requests_at(places, **changes):
    """Three requests, guided at these places."""
    prompts = [(5, 6, 7), (8, 9, 10), (11, 12, 13)]
    return [
        GuidedRequest(p, {"arm": 0.7} if i in places else {}, max_new_tokens=6, ignore_eos=True, **changes)
        for i, p in enumerate(prompts)
    ]


def test_one_recording_serves_every_arrangement_of_as_many_rows(decoder, recorded):
    """Whose the guided rows are is data; another number of them is another step."""
    arrangements = [requests_at(places, temperature=0.0) for places in ({0, 1}, {1, 2}, {0, 2}, {0, 1})]
    expected = [decoder.generate(requests) for requests in arrangements]
    decoder.parts[0].trunk.recorder.enabled = True
    found = [decoder.generate(requests) for requests in arrangements]
    assert [[r.tokens for r in f] for f in found] == [[r.tokens for r in e] for e in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert [r.kl for r in ours] == pytest.approx([r.kl for r in theirs], abs=1e-5)
    assert len(recorded) == 1
    decoder.generate(requests_at({0}))
    assert len(recorded) == len(decoder.parts[0].trunk.recorder.steps) == 2


def test_shares_of_preference_dimensions_are_data(toy, tmp_path, recorded):
    source = resolve(str(toy.folder))
    parm = make_parm(
        tmp_path / "parm", source, toy.model, seed=1, layers_to_transform=[2, 3], target_modules=LINEAR
    )
    decoder = load_decoder(source, {"arm": parm}, dtype="float32", batch_size=3)
    recorder = decoder.parts[0].trunk.recorder
    vectors = [{"loud": 1.0}, {"loud": 0.2, "brief": 0.8}, {"brief": 1.0}]
    asked = [requests_at({0, 1}, temperature=0.0, preference=vector) for vector in vectors]
    asked = [[*requests[:2], replace(requests[2], preference={})] for requests in asked]
    recorder.enabled = False
    expected = [decoder.generate(requests) for requests in asked]
    assert len({tuple(r.base_logprob for r in e) for e in expected}) == 3
    recorder.enabled = True
    for requests, theirs in zip(asked, expected, strict=True):
        ours = decoder.generate(requests)
        assert [r.tokens for r in ours] == [r.tokens for r in theirs]
        assert [r.kl for r in ours] == pytest.approx([r.kl for r in theirs], abs=1e-5)
    assert len(recorded) == 1


def test_a_recorded_step_takes_up_a_batch_in_the_memory_that_it_was_recorded_with(decoder, recorded):
    """A graph reads the same addresses each time, so that nothing may be replaced by another tensor."""
    decoder.parts[0].trunk.recorder.enabled = True
    decoder.generate(requests_at({0, 1}))
    (step,) = recorded
    spans = step.rows._row_adapters.values()

    def tensors():
        stored = [tensor for pair in step.cache.layers.values() for tensor in pair]
        masks = [mask for rows in spans for mask in rows._masks.values() if mask is not None]
        return [step.ids, step.given, step.positions_read, step.rows.owners, *stored, *masks]

    before = [(id(tensor), tensor.data_ptr()) for tensor in tensors()]
    owners = step.rows.owners.tolist()
    decoder.generate(requests_at({1, 2}))
    assert [(id(tensor), tensor.data_ptr()) for tensor in tensors()] == before
    assert owners == [0, 1, 2, 0, 1] and step.rows.owners.tolist() != owners

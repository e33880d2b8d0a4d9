"""Weights follow their requests: through the rows of the V1 runner, through the slots of V2.

The V1 processor also runs in every test with an engine. V2 needs a Triton that the CPU lacks, so its
processor meets made-up rows alone.
"""

import pytest

pytest.importorskip("vllm.sampling_params", reason="vLLM is not installed here: make serve-vllm")

import numpy as np
import torch
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState

from genarm.vllm.processors import RowGuidance, SlotGuidance
from genarm.vllm.readings import open_readings

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.filterwarnings("default")]
CPU, VOCABULARY = torch.device("cpu"), 5


@pytest.fixture
def engine():
    """A configuration, and the readings of a base and two ARMs that were never loaded."""
    config = VllmConfig()
    return config, open_readings(config, ("kind", "curt"))


def params(**weights):
    return SamplingParams(extra_args={f"guidance.{k.replace('_', '.')}": w for k, w in weights.items()})


def rows(readings, count):
    torch.manual_seed(count)
    readings.rows = torch.randn(count, 3, VOCABULARY)
    return readings.rows.clone(), torch.randn(count, VOCABULARY)


def guided(said, logits, kind, curt, contrast=0.0):
    """By hand: the last weight is contrasted."""
    return logits + kind * said[1] + curt * said[2] + contrast * (said[2] - said[0])


def test_rows_that_come_go_and_move(engine):
    config, readings = engine
    processor = RowGuidance(config, CPU, False)
    added = [
        (0, params(sum_kind=0.5), None, []),
        (1, params(), None, []),
        (2, params(sum_kind=1.0, contrast_curt=2.0), None, []),
    ]
    processor.update_state(BatchUpdate(3, removed=[], added=added, moved=[]))
    said, logits = rows(readings, 3)
    out = processor.apply(logits.clone())
    torch.testing.assert_close(out[0], guided(said[0], logits[0], 0.5, 0))
    assert out[1].equal(logits[1])
    torch.testing.assert_close(out[2], guided(said[2], logits[2], 1, 0, 2))
    assert readings.guided_rows == 2

    moved = [(0, 1, MoveDirectionality.SWAP)]
    processor.update_state(BatchUpdate(3, removed=[], added=[], moved=moved))
    said, logits = rows(readings, 3)
    out = processor.apply(logits.clone())
    assert out[0].equal(logits[0])
    torch.testing.assert_close(out[1], guided(said[1], logits[1], 0.5, 0))

    moved = [(2, 0, MoveDirectionality.UNIDIRECTIONAL)]
    processor.update_state(BatchUpdate(1, removed=[0, 1], added=[], moved=moved))
    said, logits = rows(readings, 1)
    torch.testing.assert_close(processor.apply(logits.clone())[0], guided(said[0], logits[0], 1, 0, 2))
    assert not processor.is_argmax_invariant()


def test_slots_that_are_used_again_and_requests_with_two_rows(engine):
    config, readings = engine
    processor = SlotGuidance(config, LogitsProcRequestState(CPU, 4, VOCABULARY, *[None] * 4))
    assert processor.add_request(2, params(sum_kind=0.5))
    assert processor.add_request(0, params(contrast_curt=2.0))
    assert not processor.add_request(3, params())
    processor.apply_staged_writes()

    def apply(slots):
        said, logits = rows(readings, len(slots))
        requests = np.array(list(dict.fromkeys(slots)))
        row_slots = torch.tensor(slots)
        context = LogitsContext(row_slots, torch.tensor(requests), requests, *[row_slots] * 3, requests)
        return said, logits, processor.apply(logits.clone(), context)

    said, logits, out = apply([3, 2, 2, 0])
    assert out[0].equal(logits[0])
    torch.testing.assert_close(out[1], guided(said[1], logits[1], 0.5, 0))
    torch.testing.assert_close(out[2], guided(said[2], logits[2], 0.5, 0))
    torch.testing.assert_close(out[3], guided(said[3], logits[3], 0, 0, 2))

    assert not processor.add_request(2, params())
    processor.apply_staged_writes()
    said, logits, out = apply([2, 0])
    assert out[0].equal(logits[0])
    torch.testing.assert_close(out[1], guided(said[1], logits[1], 0, 0, 2))


def test_rows_that_the_model_did_not_read_are_refused(engine):
    config, _ = engine
    processor = RowGuidance(config, CPU, False)
    processor.update_state(BatchUpdate(1, removed=[], added=[(0, params(sum_kind=1.0), None, [])], moved=[]))
    with pytest.raises(RuntimeError, match="1 rows of logits, 1 of weights, and of base and ARMs none"):
        processor.apply(torch.zeros(1, VOCABULARY))

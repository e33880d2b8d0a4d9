"""A batch of sequences in one model: rows start anew, and what read nothing is told from what is done."""

import copy

import numpy as np
import pytest
import torch

from genarm.decoding.runner.batch import ModelBatch
from genarm.decoding.runner.build_trunk import build_trunk

torch.set_num_threads(1)
NEWEST = slice(-1, None)


@pytest.fixture(autouse=True)
def inference_mode():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def trunk(toy):
    return build_trunk(copy.deepcopy(toy.model), [], 264)


def batch_of(trunk, *prompts):
    """A batch that has read these prompts, padded on the left."""
    batch, widest = ModelBatch(trunk, len(prompts), {}, 40, bare=True), max(map(len, prompts))
    ids = torch.tensor([[7] * (widest - len(prompt)) + prompt for prompt in prompts])
    batch.feed(ids, np.array([len(prompt) for prompt in prompts]), head=None)
    return batch


def step(batch, *tokens):
    """Logits after one more token of every sequence, [n, v]."""
    return batch.feed(torch.tensor(tokens)[:, None], head=NEWEST)[:, -1]


def expected(toy, *sequences):
    return torch.stack([toy.model(input_ids=torch.tensor([ids])).logits[0, -1] for ids in sequences])


def test_a_released_sequence_starts_anew_and_sees_nothing_of_what_was_there(toy, trunk):
    batch = batch_of(trunk, [1, 2, 3], [4, 5, 6, 8])
    step(batch, 9, 10)
    batch.release([0])
    assert batch.started.tolist() == [False, True] and batch.width == 5
    logits = step(batch, 11, 12)
    torch.testing.assert_close(logits, expected(toy, [11], [4, 5, 6, 8, 10, 12]), atol=1e-4, rtol=1e-4)
    assert batch.started.all()


def test_a_sequence_that_has_read_nothing_is_not_one_that_is_done(toy, trunk):
    """The first reads its first token beside others, and is moved before that."""
    batch = batch_of(trunk, [], [4, 5, 6, 8])
    assert batch.started.tolist() == [False, True]
    target = batch_of(trunk, [1, 2, 3], [3, 2], [9, 9, 9, 9, 9])
    target.release([1, 2])
    target.take([2, 1], batch, [0, 1])
    assert target.started.tolist() == [True, True, False]
    logits = step(target, 30, 31, 32)
    wanted = expected(toy, [1, 2, 3, 30], [4, 5, 6, 8, 31], [32])
    torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-4)


def test_a_batch_that_has_read_nothing_has_no_width(trunk):
    assert ModelBatch(trunk, 2, {}, 8, bare=True).width == 0
    batch = batch_of(trunk, [1, 2], [3])
    batch.release([0, 1])
    assert batch.width == 0

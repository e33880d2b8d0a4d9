"""What the slots hold of their requests stays with the request as slots come and go."""

import numpy as np
import torch

from genarm.decoding import GuidedRequest
from genarm.decoding.engine.request_state import RequestState
from genarm.decoding.engine.slots import Slots
from genarm.decoding.sampling import random_stream

CPU = torch.device("cpu")


def state(number: int, weights=None, **changes) -> RequestState:
    values = {"max_new_tokens": 3 + number, "seed": number, "temperature": 0.5 + number} | changes
    return RequestState(GuidedRequest((number, 7), weights or {}, **values), number)


def test_kept_slots_keep_all_that_is_theirs_and_new_ones_start_afresh():
    slots = Slots([state(i) for i in range(3)], CPU)
    slots.count[2], slots.kl[2], slots.tokens[2, :2], slots.tested[2] = 2, 0.25, (8, 9), 9.5
    slots.unrelated = np.arange(5)  # an array that is no slot's
    slots.free(1)
    kept = slots.kept([2, 1], [state(4, {"a": 1.0})])
    assert len(kept) == 3 and kept.live.tolist() == [True, False, True]
    assert kept.drawn(0) == [8, 9] and kept.drawn(2) == []
    assert kept.kl.tolist() == [0.25, 0, 0] and kept.tested.tolist() == [9.5, 4, 4]
    assert kept.limit.tolist() == [5, 4, 7] and kept.guided.tolist() == [False, False, True]
    assert kept.temperature.tolist() == [2.5, 1, 4.5]
    assert np.array_equal(kept.uniform[0, :5], random_stream(2, 5))
    assert np.array_equal(kept.uniform[2, :7], random_stream(4, 7))
    assert not hasattr(kept, "unrelated")
    assert slots.drawn(2) == [8, 9]  # what it was made of stays


def test_weights_are_those_of_the_slots_asked_for():
    slots = Slots([state(0, {"a": 0.5}), state(1, {"a": 2.0, "b": 1.0}), state(2)], CPU)
    first, both = torch.tensor([0]), torch.tensor([0, 1])
    assert slots.weights("a", first).tolist() == [0.5]
    assert slots.weights("a", both).tolist() == [0.5, 2.0]
    assert slots.weights("b", both).tolist() == [0.0, 1.0]
    assert slots.weights("a", both) is slots.weights("a", both)  # not made again each step
    slots.free(1)
    assert slots.weights("a", both).tolist() == [0.5, 0.0]
    slots.put(1, state(5, {"a": 3.0}))
    assert slots.weights("a", both).tolist() == [0.5, 3.0]

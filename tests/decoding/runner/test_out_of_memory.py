"""What the libraries really raise as memory runs out is recognised, and nothing else is."""

import numpy as np
import pytest
import torch

from genarm.decoding.runner.out_of_memory import is_out_of_memory

TOO_MUCH = 2**50  # bytes, which no machine has


def raised(allocate) -> BaseException:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    return caught.value


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(TOO_MUCH, dtype=torch.uint8),
        lambda: torch.zeros(TOO_MUCH, dtype=torch.uint8),
        lambda: np.ones(TOO_MUCH, dtype=np.uint8),
        lambda: bytearray(TOO_MUCH),
        pytest.param(lambda: torch.empty(TOO_MUCH, dtype=torch.uint8, device="cuda"), marks=pytest.mark.gpu),
    ],
    ids=["torch", "torch zeros", "numpy", "python", "cuda"],
)
def test_a_real_lack_of_memory_is_recognised(allocate):
    assert is_out_of_memory(raised(allocate))


@pytest.mark.parametrize(
    "mistake", [lambda: torch.ones(2) @ torch.ones(3), lambda: torch.ones(2).view(3)], ids=["shapes", "view"]
)
def test_other_errors_of_torch_are_not(mistake):
    assert not is_out_of_memory(raised(mistake))

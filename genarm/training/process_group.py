"""The processes of one training: who I am among them, and the few things that they agree on.

A process alone needs none of it: every function then does nothing, or gives back what it was given.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def join() -> None:
    """Meet the other processes that a launcher started, and take the device that is this one's."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        from accelerate import PartialState

        PartialState()


def started_first() -> bool:
    """Whether this is the process that will be the first, before they have met."""
    return os.environ.get("RANK", "0") == "0"


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def mine() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this process is the one that writes, shows and reports."""
    return mine() == 0


def wait() -> None:
    """Until all have come here."""
    if count() > 1:
        dist.barrier()


def add_up(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over the processes; all bring the same shapes in the same order."""
    if count() == 1:
        return
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for same in kinds.values():
        flat = torch.cat([tensor.flatten() for tensor in same])  # one message, not one for each
        dist.all_reduce(flat)
        for tensor, total in zip(same, flat.split([t.numel() for t in same]), strict=True):
            tensor.copy_(total.view_as(tensor))


def any_of(*flags: bool) -> list[bool]:
    """Each flag, true where any process says so: all must do the same next, whoever was told."""
    if count() == 1:
        return list(flags)
    said = torch.tensor(flags, dtype=torch.int32, device=_device())
    dist.all_reduce(said, dist.ReduceOp.MAX)
    return [bool(flag) for flag in said.tolist()]


def as_first(number: int) -> int:
    """The number that the first process has."""
    if count() == 1:
        return number
    told = torch.tensor(number, device=_device())
    dist.broadcast(told, 0)
    return int(told)


def _device() -> torch.device:
    """Where messages lie: NCCL carries those of a GPU only."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")

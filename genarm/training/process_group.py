"""The processes of one training: the rank of this one, and the few things that they agree on.

A process alone needs none of it: every function then does nothing, or returns what it was given.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def initialise() -> None:
    """Join the process group that a launcher announced, and take this process's device."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        from accelerate import PartialState

        PartialState()


def launched_as_main() -> bool:
    """Whether this is the main process by what the launcher says, before the group is initialised."""
    return os.environ.get("RANK", "0") == "0"


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main_process() -> bool:
    """Whether this process is the one that writes, shows and reports."""
    return rank() == 0


def barrier() -> None:
    """Wait until all processes are here."""
    if world_size() > 1:
        dist.barrier()


def all_reduce_sum(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over the processes; all bring the same shapes in the same order."""
    if world_size() == 1:
        return
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for same in kinds.values():
        flat = torch.cat([tensor.flatten() for tensor in same])  # one message, not one for each
        dist.all_reduce(flat)
        for tensor, total in zip(same, flat.split([t.numel() for t in same]), strict=True):
            tensor.copy_(total.view_as(tensor))


def any_process(*flags: bool) -> list[bool]:
    """Each flag, true where it is true in any process, so that all do the same next."""
    if world_size() == 1:
        return list(flags)
    raised = torch.tensor(flags, dtype=torch.int32, device=_device())
    dist.all_reduce(raised, dist.ReduceOp.MAX)
    return [bool(flag) for flag in raised.tolist()]


def broadcast_from_main(number: int) -> int:
    """The number that the main process has."""
    if world_size() == 1:
        return number
    shared = torch.tensor(number, device=_device())
    dist.broadcast(shared, 0)
    return int(shared)


def _device() -> torch.device:
    """Where messages lie: NCCL carries only those on a GPU."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")

"""The most memory that a process held since a moment."""

import resource
import sys
from pathlib import Path

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def forget_peak() -> None:
    """Begin anew: what was held before, such as while loading, counts no more. Linux and GPUs can do it."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        CLEAR.write_text("5")  # proc(5): resets the peak of resident memory
    except OSError:
        return  # no Linux, or not allowed: the peak is that of the whole process


def peak() -> int:
    """The most memory since then in bytes: of the GPU where there is one, else resident."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    try:
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(held if sys.platform == "darwin" else held * 1024)

"""The most memory that this process has held at one time."""

import resource
import sys
from pathlib import Path


def resident_peak_mb() -> float:
    """In MB of 2^20 bytes."""
    try:
        # Not what getrusage says, which a process starts with from the one that started it.
        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)

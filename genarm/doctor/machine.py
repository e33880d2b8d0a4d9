"""The processor and the accelerator."""

import importlib.metadata
import os
from pathlib import Path

from genarm.errors import ConfigError
from genarm.pipeline.check_result import CheckResult, ok, warn
from genarm.pipeline.project import Project

BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")  # Intel, Intel and AMD, Arm


def processor(root: Path) -> list[CheckResult]:
    """Cores, threads, bfloat16 and GPU, as the operating system reports them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpu = Path("/dev/nvidia0").exists()
    flags = cpu_flags()
    bf16_flag = next((flag for flag in BF16_FLAGS if flag in flags), None)
    if bf16_flag:
        bfloat16 = f"in hardware ({bf16_flag})"
    else:
        bfloat16 = "without hardware support" if flags else "support unknown"
    detail = f"{cores} cores, bfloat16 {bfloat16}, {'an NVIDIA GPU' if gpu else 'no NVIDIA GPU'}"
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads) < cores and not gpu:
        detail += f"; OMP_NUM_THREADS={threads} leaves the others idle"
        return [warn("processor", detail, "unset OMP_NUM_THREADS")]
    if gpu and importlib.metadata.version("torch").endswith("+cpu"):
        fix = "install the CUDA build of torch (README, section on GPUs)"
        return [warn("processor", f"{detail}, but torch is the build without CUDA", fix)]
    if flags and not bf16_flag and not gpu and _dtype(root) == "bfloat16":
        return [warn("processor", f"{detail}: slow", "set base.dtype: float32 in params.yaml")]
    return [ok("processor", detail)]


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The features of the first core; empty where the system does not list them."""
    if not cpuinfo.exists():
        return set()
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    return next(
        (set(line.split(":", 1)[1].split()) for line in lines if line.startswith(("flags", "Features"))),
        set(),
    )


def _dtype(root: Path) -> str | None:
    try:
        return Project(root).params.base.dtype
    except ConfigError:
        return None  # reported by the check of params.yaml


def torch_sees(root: Path) -> list[CheckResult]:
    """What torch itself makes of the machine; importing it takes seconds."""
    import torch

    device = torch.accelerator.current_accelerator()
    if device is None:
        return [ok("torch", f"{torch.__version__} on {torch.get_num_threads()} threads, no accelerator")]
    name = torch.cuda.get_device_name() if device.type == "cuda" else str(device)
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return [warn("torch", f"{name} has no bfloat16", "set base.dtype: float16 in params.yaml")]
    return [ok("torch", f"{torch.__version__} on {name}")]

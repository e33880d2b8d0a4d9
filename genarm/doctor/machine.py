"""The machine: interpreter, libraries, processor, switches. Nothing heavy is imported to find out."""

import importlib.metadata
import os
import platform
import sys
import tomllib
from importlib.machinery import PathFinder
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from genarm.config import load_params
from genarm.doctor.finding import Finding, fail, ok, warn
from genarm.errors import ConfigError
from genarm.system.env import TELEMETRY_OFF
from genarm.system.layout import Layout

SHOWN = ("torch", "transformers", "peft", "prefect", "mlflow", "dvc", "fastapi")
REASONS = {"fastapi": "; a Prefect server does not start with it", "textstat": "; it downloads a corpus"}
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")  # Intel, Intel and AMD, Arm


def python(root: Path) -> list[Finding]:
    """The interpreter against `requires-python`."""
    wanted, _ = _requirements(root)
    have = platform.python_version()
    if have not in SpecifierSet(wanted):
        return [
            fail("python", f"{have} does not satisfy {wanted}", f"install Python {wanted}, then: make setup")
        ]
    return [ok("python", f"{have} at {sys.executable}")]


def libraries(root: Path) -> list[Finding]:
    """The version of each dependency against its range."""
    _, requirements = _requirements(root)
    found, versions = [], {}
    for requirement in requirements:
        mend = f"python -m pip install '{requirement}'"
        try:
            versions[requirement.name] = have = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            found.append(fail(requirement.name, f"not installed; wanted {requirement.specifier}", mend))
            continue
        if not requirement.specifier.contains(have, prereleases=True):
            why = REASONS.get(requirement.name, "")
            found.append(fail(requirement.name, f"{have} is outside {requirement.specifier}{why}", mend))
    if found:
        return found
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN if name in versions)
    return [ok("libraries", f"all {len(versions)} within their ranges: {shown}")]


def _requirements(root: Path) -> tuple[str, list[Requirement]]:
    """`requires-python` and the dependencies of this system, from pyproject.toml or as installed."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        wanted, lines = project["requires-python"], project["dependencies"]
    except (FileNotFoundError, KeyError, tomllib.TOMLDecodeError):
        wanted = importlib.metadata.metadata("genarm")["Requires-Python"]
        lines = [line for line in importlib.metadata.requires("genarm") or [] if "extra ==" not in line]
    parsed = [Requirement(line) for line in lines]
    return wanted, [r for r in parsed if r.marker is None or r.marker.evaluate()]


def mlflow_import(root: Path) -> list[Finding]:
    """Whether `import mlflow`, typed in the project's folder, finds the library and not the folder."""
    if (root / "mlflow" / "__init__.py").exists():
        detail = "mlflow/__init__.py hides the MLflow library from every import"
        return [fail("import mlflow", detail, "rm mlflow/__init__.py")]
    hiding = sorted(p.name for p in (root / "mlflow").glob("*.py") if p.stem in sys.stdlib_module_names)
    if hiding:
        detail = f"mlflow/{hiding[0]} hides the standard module of that name from scripts beside it"
        return [warn("import mlflow", detail, f"git rm mlflow/{hiding[0]}")]
    spec = PathFinder.find_spec("mlflow", [str(root), *sys.path])
    if spec is None or spec.origin is None:  # a folder without __init__.py is found, but has no origin
        detail = (
            "MLflow is not installed: `import mlflow` would find the folder mlflow/, which is empty of code"
        )
        return [fail("import mlflow", detail, "make setup")]
    return [ok("import mlflow", "finds the library, not the folder mlflow/")]


def telemetry(root: Path) -> list[Finding]:
    """The switches that keep Prefect, MLflow, DVC and the hub from sending usage data."""
    on = [name for name, value in TELEMETRY_OFF.items() if not _silent(name, value)]
    if on:
        mend = " ".join(f"{name}={TELEMETRY_OFF[name]}" for name in on)
        return [warn("telemetry", f"may be sent: {', '.join(on)} not set to silence it", f"export {mend}")]
    return [ok("telemetry", "off for Prefect, MLflow, DVC and the hub")]


def _silent(name: str, wanted: str) -> bool:
    value = os.environ.get(name, "").lower()
    if name == "DO_NOT_TRACK" or wanted == "false":  # MLflow reads the word "true" alone as yes
        return value == wanted or (wanted == "false" and value in ("0", "no"))
    return value in ("1", "true", "yes")


def processor(root: Path) -> list[Finding]:
    """Cores, threads, bfloat16 and GPU, from what the system says of itself."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpu = Path("/dev/nvidia0").exists()
    flags = cpu_flags()
    fast = next((flag for flag in BF16_FLAGS if flag in flags), None)
    told = f"in hardware ({fast})" if fast else "without hardware support" if flags else "support unknown"
    detail = f"{cores} cores, bfloat16 {told}, {'an NVIDIA GPU' if gpu else 'no NVIDIA GPU'}"
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads) < cores and not gpu:
        return [
            warn("processor", f"{detail}; OMP_NUM_THREADS={threads} idles the rest", "unset OMP_NUM_THREADS")
        ]
    if gpu and importlib.metadata.version("torch").endswith("+cpu"):
        mend = "install the CUDA build of torch (README, section on GPUs)"
        return [warn("processor", f"{detail}, but torch is the build without CUDA", mend)]
    if flags and not fast and not gpu and _dtype(root) == "bfloat16":
        return [warn("processor", f"{detail}: slow", "set base.dtype: float32 in params.yaml")]
    return [ok("processor", detail)]


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What the first core can do; empty where the system does not tell."""
    if not cpuinfo.exists():
        return set()
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    return next(
        (set(x.split(":", 1)[1].split()) for x in lines if x.startswith(("flags", "Features"))), set()
    )


def _dtype(root: Path) -> str | None:
    try:
        return load_params(Layout(root).params).base.dtype
    except ConfigError:
        return None  # reported by the check of params.yaml


def torch_sees(root: Path) -> list[Finding]:
    """What torch itself makes of the machine; imports it, which takes seconds."""
    import torch

    device = torch.accelerator.current_accelerator()
    if device is None:
        return [ok("torch", f"{torch.__version__} on {torch.get_num_threads()} threads, no accelerator")]
    name = torch.cuda.get_device_name() if device.type == "cuda" else str(device)
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return [warn("torch", f"{name} has no bfloat16", "set base.dtype: float16 in params.yaml")]
    return [ok("torch", f"{torch.__version__} on {name}")]

"""What is installed: interpreter, libraries, switches. None of the libraries is imported to find out."""

import importlib.metadata
import os
import platform
import sys
import tomllib
from importlib.machinery import PathFinder
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.system.env import TELEMETRY_OFF

SHOWN = ("torch", "transformers", "peft", "prefect", "mlflow", "dvc", "fastapi")
REASONS = {"fastapi": "; a Prefect server does not start with it", "textstat": "; it downloads a corpus"}


def python(root: Path) -> list[CheckResult]:
    """Compare the interpreter with `requires-python`."""
    wanted, _ = _requirements(root)
    version = platform.python_version()
    if version not in SpecifierSet(wanted):
        fix = f"install Python {wanted}, then: make setup"
        return [fail("python", f"{version} does not satisfy {wanted}", fix)]
    return [ok("python", f"{version} at {sys.executable}")]


def libraries(root: Path) -> list[CheckResult]:
    """Compare the version of each dependency with its range."""
    _, requirements = _requirements(root)
    problems, versions = [], {}
    for requirement in requirements:
        name, fix = requirement.name, f"python -m pip install '{requirement}'"
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(fail(name, f"not installed; wanted {requirement.specifier}", fix))
            continue
        if not requirement.specifier.contains(versions[name], prereleases=True):
            detail = f"{versions[name]} is outside {requirement.specifier}{REASONS.get(name, '')}"
            problems.append(fail(name, detail, fix))
    if problems:
        return problems
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN if name in versions)
    return [ok("libraries", f"all {len(versions)} within their ranges: {shown}")]


def _requirements(root: Path) -> tuple[str, list[Requirement]]:
    """`requires-python` and the dependencies that apply here, from pyproject.toml or as installed."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        wanted, lines = project["requires-python"], project["dependencies"]
    except (FileNotFoundError, KeyError, ValueError):  # no TOML, or no UTF-8
        wanted = importlib.metadata.metadata("genarm")["Requires-Python"]
        lines = [line for line in importlib.metadata.requires("genarm") or [] if "extra ==" not in line]
    parsed = [Requirement(line) for line in lines]
    return wanted, [r for r in parsed if r.marker is None or r.marker.evaluate()]


def mlflow_import(root: Path) -> list[CheckResult]:
    """Check that `import mlflow`, in the project's folder, finds the library and not the folder."""
    check, folder = "import mlflow", root / "mlflow"
    if (folder / "__init__.py").exists():
        detail = "mlflow/__init__.py hides the MLflow library from every import"
        return [fail(check, detail, "rm mlflow/__init__.py")]
    hiding = sorted(path.name for path in folder.glob("*.py") if path.stem in sys.stdlib_module_names)
    if hiding:
        detail = f"mlflow/{hiding[0]} hides the standard module of that name from scripts beside it"
        return [warn(check, detail, f"git rm mlflow/{hiding[0]}")]
    spec = PathFinder.find_spec("mlflow", [str(root), *sys.path])
    if spec is None or spec.origin is None:  # a folder without __init__.py is found, but has no origin
        detail = "MLflow is not installed: `import mlflow` would find the folder mlflow/, which holds no code"
        return [fail(check, detail, "make setup")]
    return [ok(check, "finds the library, not the folder mlflow/")]


def telemetry(root: Path) -> list[CheckResult]:
    """Check the switches that keep Prefect, MLflow, DVC and the hub from sending usage data."""
    missing = [name for name, value in TELEMETRY_OFF.items() if not _silences(name, value)]
    if missing:
        fix = "export " + " ".join(f"{name}={TELEMETRY_OFF[name]}" for name in missing)
        return [warn("telemetry", f"may be sent: {', '.join(missing)} not set to silence it", fix)]
    return [ok("telemetry", "off for Prefect, MLflow, DVC and the hub")]


def _silences(name: str, wanted: str) -> bool:
    value = os.environ.get(name, "").lower()
    if name == "DO_NOT_TRACK" or wanted == "false":  # MLflow accepts no other word than "true"
        return value == wanted or (wanted == "false" and value in ("0", "no"))
    return value in ("1", "true", "yes")

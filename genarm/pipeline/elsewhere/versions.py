"""The versions that two machines must share for a stage to give the same bytes on both."""

import platform
import re
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import distributions, requires
from pathlib import Path

import genarm

PINNED = "constraints.txt"
PYTHON, OURS = "python", "genarm"
SHOWN = 6  # differences that a message names
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def pinned(root: Path) -> list[str]:
    """The packages that `constraints.txt` of a project pins; without it, those that genarm requires."""
    file = root / PINNED
    if file.is_file():
        lines = [line.partition("==")[0] for line in file.read_text(encoding="utf-8").splitlines()]
    else:
        lines = [line for line in requires(OURS) or () if "extra ==" not in line]
    return sorted({_plain(name[0]) for line in lines if (name := _NAME.match(line.strip()))})


def installed(names: Collection[str]) -> dict[str, str]:
    """Python, genarm, and packages of these names, each as it is installed here; what is not is left out.

    So is what a version says of its build, such as `+cpu`: the same release runs with and without a GPU.
    """
    found: dict[str, str] = {}
    for one in distributions():
        if name := one.metadata["Name"]:
            found.setdefault(_plain(name), one.version)  # of two, the first is the one that is imported
    python = ".".join(platform.python_version_tuple()[:2])
    return {PYTHON: python, OURS: genarm.__version__} | {
        name: found[name].partition("+")[0] for name in names if name in found
    }


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """What is installed on both machines in other versions, such as `torch 2.13.0 here, 2.11.0 there`."""
    return [
        f"{name} {here[name]} here, {version} there"
        for name, version in there.items()
        if name in here and here[name] != version
    ]


def shown(found: Sequence[str]) -> str:
    """Differences as one text; of many, the first."""
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


def _plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()

"""Which engine serves: the one asked for, else vLLM where there is a GPU and it can do what is wanted."""

import sys
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from genarm.config import Params
from genarm.errors import ConfigError

EngineName = Literal["builtin", "vllm"]

ENVIRONMENT = ".venv-vllm"
HINTS: Mapping[EngineName, Mapping[str, str]] = {
    "builtin": {"--vllm-option": "genarm serve --engine vllm"},
    "vllm": {
        "--keys": "its one key: export VLLM_API_KEY=...",
        "--trial": "--pin DIMENSION=VERSION serves it in the champion's place",
        "--max-open": "--slots is how many it decodes together; a proxy can bound what waits",
        "--timeout": "max_tokens bounds an answer; a proxy can bound its time",
    },
}
"""What an engine does not take, and what does it there."""


def find_python(root: Path) -> Path:
    """The Python that has vLLM: that of `make serve-vllm`, else this one. Raises ConfigError."""
    ours = root / ENVIRONMENT / "bin" / "python"
    if ours.is_file():
        return ours
    if find_spec("vllm") is None:
        raise ConfigError(
            f"vLLM is neither in {ours.parent.parent} nor here",
            hint="make serve-vllm, or genarm serve --engine builtin",
        )
    return Path(sys.executable)


def not_by_vllm(params: Params) -> list[str]:
    """The parameters of a project that are set and that vLLM's server does not serve."""
    found = {"serve.canary": params.serve.canary, "feedback.store": params.feedback.store}
    return [name for name, value in found.items() if value is not None]


def choose(
    asked: EngineName | None, given: Collection[str], params: Params, root: Path
) -> tuple[EngineName, str]:
    """The engine, and why where it was not asked for; `given` are the options of the command line.

    Raises ConfigError for an option that it does not take.
    """
    engine, why = (asked, "") if asked else _default(given, params, root)
    for option, hint in HINTS[engine].items():
        if option in given:
            other = "the built-in engine" if engine == "vllm" else "vLLM's server"
            raise ConfigError(f"{option} is an option of {other} alone", hint=hint)
    return engine, why


def _default(given: Collection[str], params: Params, root: Path) -> tuple[EngineName, str]:
    """torch is looked at last: importing it takes seconds."""
    if own := [*(o for o in HINTS["vllm"] if o in given), *not_by_vllm(params)]:
        return "builtin", f"{own[0]} is its alone"
    try:
        find_python(root)
    except ConfigError as error:
        return "builtin", error.message
    import torch

    if not torch.cuda.is_available():
        return "builtin", "torch sees no GPU"
    return "vllm", "there is a GPU, and vLLM is installed"

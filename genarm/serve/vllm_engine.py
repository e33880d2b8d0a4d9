"""`genarm serve --engine vllm`: vLLM's own OpenAI server over base and champions, guided by genarm's plugin.

vLLM has an environment of its own, so its server is another program, which takes this one's place.
"""

import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from genarm.errors import ConfigError
from genarm.pipeline.project import Project
from genarm.serve.opening import Opener, read_pins
from genarm.serve.run import is_loopback
from genarm.serve.vllm_command import vllm_command
from genarm.serve.watcher import told

ENVIRONMENT = ".venv-vllm"


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


def serve_by_vllm(
    project: Project,
    *,
    host: str,
    port: int,
    pins: list[str],
    slots: int,
    more: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Become vLLM's server, with the versions that are in use now.

    Raises ConfigError for an address that is open to others, since its keys are not ours, and what
    `vllm_command` raises.
    """
    if not is_loopback(host) and "--api-key" not in more and "VLLM_API_KEY" not in os.environ:
        raise ConfigError(
            f"without a key anybody who reaches {host} could use the server",
            hint="set VLLM_API_KEY, or --host 127.0.0.1",
        )
    python = find_python(project.root)
    opener = Opener(project, read_pins(pins, list(project.params.dimensions)), slots)
    arms = opener.wanted()
    folders = {dimension: opener.fetch(arm) for dimension, arm in arms.items()}
    command, environment = vllm_command(
        python, project.base, arms, folders,
        dtype=project.params.base.dtype, host=host, port=port, slots=slots, more=more,
    )  # fmt: skip
    say(f"starting vLLM with {told(arms)}")
    os.execve(python, command, os.environ | environment)

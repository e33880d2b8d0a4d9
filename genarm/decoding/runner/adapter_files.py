"""LoRA folders to factors: what PEFT saved, read as plain row products can serve it or refused."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peft import PeftConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from genarm.errors import AdapterError
from genarm.models.arm import CONFIG, WEIGHTS
from genarm.models.bilinear import Conditioning, bilinear_factors, conditioning_of, plain_config
from genarm.models.finite import check_adapter
from genarm.models.model_files import one_line
from genarm.system.counted import counted

PREFIX = "base_model.model."
# What plain LoRA says of itself. Any other setting that is switched on asks for a product made otherwise.
PLAIN = {
    "auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode", "init_lora_weights",
    "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "peft_type", "peft_version", "r",
    "alpha_pattern", "rank_pattern", "revision", "runtime_config", "target_modules", "task_type",
    "use_rslora", "megatron_core", "qalora_group_size", "eva_config",
}  # fmt: skip
PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")  # the others move the base's own weights


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA: for the path of each adapted module, down [rank, in] and up [out, rank] scale included.

    A PARM is the LoRA that it is at all vectors, and its `conditioning` says whose share multiplies a column.
    """

    name: str
    factors: Mapping[str, tuple[Tensor, Tensor]]
    conditioning: Conditioning | None = None


def read_adapter(name: str, folder: Path) -> Adapter:
    """Read a PEFT LoRA folder, or that of a PARM.

    Raises AdapterError for a feature that plain row products would get wrong, and for weights that are no
    numbers.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (OSError, json.JSONDecodeError, SafetensorError) as error:
        raise AdapterError(f"ARM {name!r}: {folder} cannot be read: {error}", hint="train it again") from None
    conditioning = conditioning_of(config, f"ARM {name!r}: {folder / CONFIG}")
    config = plain_config(config) if conditioning else config
    check_plain(f"ARM {name!r}: {folder / CONFIG}", config)
    check_adapter(name, tensors.items())
    if conditioning:
        return _conditioned(name, f"ARM {name!r}: {folder / WEIGHTS}", config, tensors, conditioning)
    factors = {}
    for key in sorted(tensors):
        path, _, kind = key.removeprefix(PREFIX).rpartition(".lora_")
        if kind == "A.weight" and (up := tensors.get(f"{PREFIX}{path}.lora_B.weight")) is not None:
            down = tensors[key]
            factors[path] = down, up.float() * _scale(config, path, down.shape[0])
        elif kind != "B.weight" or f"{PREFIX}{path}.lora_A.weight" not in tensors:
            raise AdapterError(
                f"ARM {name!r}: {folder / WEIGHTS} holds {key!r}, which is no LoRA factor of a linear module",
                hint="decode with a plain LoRA: no bias, embedding, DoRA or fully trained module",
            )
    if not factors:
        raise AdapterError(f"ARM {name!r}: {folder / WEIGHTS} adapts nothing", hint="train it again")
    return Adapter(name, factors)


def _conditioned(
    name: str,
    where: str,
    config: Mapping[str, object],
    tensors: Mapping[str, Tensor],
    conditioning: Conditioning,
) -> Adapter:
    factors = {}
    for key, of in bilinear_factors(tensors, conditioning, where).items():
        path = key.removeprefix(PREFIX)
        down, up = of.at_all_vectors()
        factors[path] = down, up.float() * _scale(config, path, of.a.shape[0])
    return Adapter(name, factors, conditioning)


def dimensions_of(adapters: Sequence[Adapter]) -> tuple[str, ...]:
    """The preference dimensions that some of these adapters are conditioned on, each once."""
    names = (a.conditioning.dimensions for a in adapters if a.conditioning)
    return tuple(sorted({name for of_one in names for name in of_one}))


def check_complete(adapter: Adapter, folder: Path, model: nn.Module) -> None:
    """Raise AdapterError where the factors are not those of the modules that its configuration names."""
    modules = dict(model.named_modules())
    try:
        if adapter.conditioning:
            fields = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            config = PeftConfig.from_peft_type(**plain_config(fields))
        else:
            config = PeftConfig.from_pretrained(str(folder))
        wanted = {name for name in modules if name and check_target_module_exists(config, name)}
    except Exception as error:  # a value of another type fails wherever peft first uses it
        raise AdapterError(
            f"ARM {adapter.name!r}: {folder / CONFIG} is no configuration of peft: {one_line(error)}",
            hint="train it again",
        ) from error
    linear = {name for name in adapter.factors if isinstance(modules.get(name), nn.Linear)}
    for paths, what in ((wanted - set(adapter.factors), "lacks what"), (linear - wanted, "has more than")):
        if paths:
            raise AdapterError(
                f"ARM {adapter.name!r}: {folder / WEIGHTS} {what} {CONFIG} names: "
                f"{counted(len(paths), 'module')}, the first is {min(paths)!r}",
                hint="restore it from the registry (genarm registry) or DVC (dvc checkout)",
            )


def check_plain(what: str, config: Mapping[str, object]) -> None:
    """Raise AdapterError where a PEFT configuration asks for more than plain LoRA; `what` names it."""
    used = {key: value for key, value in config.items() if value and key not in PLAIN and value != "none"}
    if config.get("peft_type") != "LORA":
        used["peft_type"] = config.get("peft_type")
    if config.get("init_lora_weights", True) not in PLAIN_STARTS:
        used["init_lora_weights"] = config["init_lora_weights"]
    if used:
        key, value = next(iter(used.items()))
        raise AdapterError(
            f"{what} sets {key}={value!r}, which decoding does not support",
            hint="train a plain LoRA, or merge it into a full model and decode with strategy 'separate'",
        )


def _scale(config: Mapping[str, object], path: str, rank: int) -> float:
    patterns = config.get("alpha_pattern") or {}
    assert isinstance(patterns, dict)
    alpha = patterns.get(get_pattern_key(list(patterns), path), config["lora_alpha"])
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)

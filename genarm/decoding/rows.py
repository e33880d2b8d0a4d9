"""LoRA by rows: the frozen linear modules of one model serve the base and its ARMs in one batch.

A batch is laid out group by group, [base rows | rows of ARM 1 | rows of ARM 2 | ...], so an adapter is two
small products on a slice: no merging, no copy of a weight. Ranks, scales and adapted modules may differ.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from genarm.arms import CONFIG, WEIGHTS
from genarm.errors import AdapterError

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
    """A LoRA: for the path of each adapted module, down [rank, in] and up [out, rank] scale included."""

    name: str
    factors: Mapping[str, tuple[Tensor, Tensor]]


@dataclass(slots=True)
class RowPlan:
    """Which rows of the batch now in flight belong to which adapter; None stands for the bare model."""

    total: int = 0
    slices: Sequence[tuple[str | None, int, int]] = field(default_factory=list)

    def lay(self, groups: Sequence[tuple[str | None, int]]) -> None:
        """Lay the groups (adapter, rows) one after the other."""
        self.slices, self.total = [], 0
        for name, rows in groups:
            self.slices.append((name, self.total, self.total + rows))
            self.total += rows


class RowLinear(nn.Module):
    """A linear module whose rows may each be adapted: y = x W^T + b, + (x A^T) B^T on an adapter's rows."""

    def __init__(self, linear: nn.Linear, plan: RowPlan) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.plan = plan
        self.factors: dict[str, tuple[Tensor, Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        if not any(name in self.factors for name, _, _ in self.plan.slices):
            return y
        flat_x, flat_y = x.reshape(-1, x.shape[-1]), y.view(-1, y.shape[-1])
        each = flat_x.shape[0] // self.plan.total  # positions a row: x is [r, s, d] or already [r * s, d]
        for name, start, stop in self.plan.slices:
            if name in self.factors and stop > start:
                down, up = self.factors[name]
                part = slice(start * each, stop * each)
                flat_y[part].addmm_(flat_x[part] @ down.T, up.T)
        return y


def read_adapter(name: str, folder: Path) -> Adapter:
    """Read a PEFT LoRA folder. Raises AdapterError for a feature that plain row products would get wrong."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (OSError, json.JSONDecodeError, SafetensorError) as error:
        raise AdapterError(f"ARM {name!r}: {folder} cannot be read: {error}", hint="train it again") from None
    _check_plain(name, folder, config)
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


def _check_plain(name: str, folder: Path, config: Mapping[str, object]) -> None:
    used = {key: value for key, value in config.items() if value and key not in PLAIN and value != "none"}
    if config.get("peft_type") != "LORA":
        used["peft_type"] = config.get("peft_type")
    if config.get("init_lora_weights", True) not in PLAIN_STARTS:
        used["init_lora_weights"] = config["init_lora_weights"]
    if used:
        key, value = next(iter(used.items()))
        raise AdapterError(
            f"ARM {name!r}: {folder / CONFIG} sets {key}={value!r}, which decoding does not support",
            hint="train a plain LoRA, or merge it into a full model and decode with strategy 'separate'",
        )


def _scale(config: Mapping[str, object], path: str, rank: int) -> float:
    patterns = config.get("alpha_pattern") or {}
    assert isinstance(patterns, dict)
    alpha = patterns.get(get_pattern_key(list(patterns), path), config["lora_alpha"])
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)


def install(model: nn.Module, adapters: Sequence[Adapter]) -> RowPlan:
    """Let the model's linear modules serve these adapters by rows; AdapterError where one does not fit.

    The weights stay where they are. The plan says whose each row is; it is laid before each pass.
    """
    plan = RowPlan()
    for adapter in adapters:
        for path, (down, up) in adapter.factors.items():
            module = _linear(model, adapter.name, path)
            if (up.shape[0], down.shape[1]) != (module.out_features, module.in_features):
                raise AdapterError(
                    f"ARM {adapter.name!r} adapts {path!r} as [{up.shape[0]}, {down.shape[1]}], "
                    f"the model has [{module.out_features}, {module.in_features}]",
                    hint="train an ARM on this base",
                )
            if not isinstance(module, RowLinear):
                module = RowLinear(module, plan)
                parent, _, leaf = path.rpartition(".")
                setattr(model.get_submodule(parent), leaf, module)
            module.factors[adapter.name] = down.to(module.weight), up.to(module.weight)
    return plan


def _linear(model: nn.Module, name: str, path: str) -> nn.Linear | RowLinear:
    try:
        module = model.get_submodule(path)
    except AttributeError:
        module = None
    if not isinstance(module, (nn.Linear, RowLinear)):
        raise AdapterError(
            f"ARM {name!r} adapts {path!r}, which is no linear module of the model",
            hint="train an ARM on this base",
        )
    return module

"""LoRA adapters: put into a model, loaded, saved, and computed without needless casts."""

import json
import warnings
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genarm.config import LoraConfig, nearest
from genarm.errors import AdapterError, ConfigError
from genarm.models.arm import CONFIG, WEIGHTS, read_card
from genarm.models.bilinear import KIND as PARM
from genarm.models.layers import top_layers
from genarm.system.counted import counted
from genarm.system.files import write_json
from genarm.training.transformers_hooks import Forward, peft_warnings_ignored, replace_forward

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def add_lora(model: "PreTrainedModel", config: LoraConfig) -> "PeftModel":
    """Put fresh LoRA adapters into the top `config.layers` layers of a model; everything else is frozen.

    Raises ConfigError for a target that names no linear module there, or more layers than there are.
    """
    import peft

    top = top_layers(model, config.layers, "lora.layers")
    linear = top.linear
    names = sorted({name.rsplit(".", 1)[-1] for name in linear})
    targets = names if config.targets == "all-linear" else sorted(set(config.targets))
    for target in targets:
        if not any(_matches(name, target) for name in linear):
            raise ConfigError(
                f"lora.targets: {target!r} matches no linear module of {type(model).__name__}"
                f"{nearest(target, names)}",
                hint=f"there are: {', '.join(names)}",
            )
    with peft_warnings_ignored():
        adapted = peft.get_peft_model(
            model,
            peft.LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft's type is int, but any number works
                lora_dropout=config.dropout,
                target_modules=targets,
                layers_to_transform=top.indices,
                layers_pattern=top.pattern,
                task_type="CAUSAL_LM",
            ),
        )
    wanted = [name for name in linear if any(_matches(name, target) for target in targets)]
    matched = [name for name, module in adapted.named_modules() if hasattr(module, "lora_A")]
    if len(matched) != len(wanted):
        raise ConfigError(
            f"lora.targets {', '.join(targets)} match {len(matched)} modules, of which only {len(wanted)} "
            f"lie in the adapted layers",
            hint=f"give more of their names, such as {wanted[0]!r}",
        )
    return adapted


def load_adapter(model: "PreTrainedModel", folder: Path) -> "PeftModel":
    """A model with the adapter of a saved ARM. Raises AdapterError where the folder holds none that fits."""
    import peft
    from safetensors import safe_open

    read_card(folder)
    if json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("peft_type") == PARM:
        raise AdapterError(
            f"{folder} is a PARM, which is one ARM at each preference vector",
            hint="write the one of a vector: genarm.baselines.parm.write_plain(folder, vector, out)",
        )
    with peft_warnings_ignored(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found missing adapter keys")  # they are refused below
        try:
            adapted = peft.PeftModel.from_pretrained(model, str(folder))
        except (ValueError, RuntimeError, OSError) as error:
            raise AdapterError(
                f"{folder} does not fit on {type(model).__name__}: {error}",
                hint="name the base model that it was trained on",
            ) from error
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        check_tensors(
            folder, file.keys(), peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
        )
    return adapted


def check_tensors(folder: Path, held: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise AdapterError where the tensors of a saved adapter are not those that its configuration asks for.

    peft starts what is missing anew and leaves out what is too much.
    """
    for names, what in ((set(wanted) - set(held), "lacks"), (set(held) - set(wanted), "holds more than")):
        if names:
            raise AdapterError(
                f"{folder / WEIGHTS} {what} what {CONFIG} describes: {counted(len(names), 'tensor')}, "
                f"the first is {min(names)!r}",
                hint="restore it from the registry (genarm registry) or DVC (dvc checkout)",
            )


def save_adapter(model: "PeftModel", folder: Path, base_id: str, revision: str | None) -> None:
    """A plain PEFT folder that names the base as its users do, not where it lies on this machine."""
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # a template of peft, which names the base's path
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base_id, "revision": revision}
    config["target_modules"] = sorted(config["target_modules"])  # which peft keeps in a set
    write_json(folder / CONFIG, config)


def fuse_lora(model: "PeftModel") -> None:
    """Compute each plain LoRA layer of this model by one autograd function, in the model's own precision.

    peft converts the layer's input to float32 for the adapter, which on a CPU costs more than the adapter
    itself. Here weights stay float32 and only the product has the model's precision. Layers with dropout, a
    bias in their adapter or a quantised base are left to peft.
    """
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if not isinstance(module, LoraLayer) or type(module.base_layer) is not nn.Linear:
            continue
        (name,) = module.active_adapters
        if isinstance(module.lora_dropout[name], nn.Identity) and module.lora_B[name].bias is None:
            replace_forward(module, partial(_FusedForward, module, name))


class _FusedForward:
    def __init__(self, module: Any, name: str, _original: Forward) -> None:
        self.layer, self.base, self.scale = module, module.base_layer, module.scaling[name]
        self.a, self.b = module.lora_A[name], module.lora_B[name]

    def __call__(self, x: Tensor) -> Tensor:
        if self.layer.disable_adapters:
            return self.base(x)
        return lora_linear(x, self.base, self.a.weight, self.b.weight, self.scale)


def lora_linear(x: Tensor, base: nn.Linear, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """base(x) + scale * (x A') B' in the precision of x, `base` frozen; A [k, i], B [o, k] -> [..., o]."""
    y: Tensor = _LoraLinear.apply(x, base.weight, base.bias, a, b, scale)
    return y


class _LoraLinear(torch.autograd.Function):
    """y = x W' + bias + scale * (x A') B', W frozen; x [..., i], W [o, i], A [k, i], B [o, k] -> [..., o]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        y = nn.functional.linear(x, weight, bias)
        narrow_a, narrow_b = a.to(x.dtype), b.to(x.dtype)
        low = x.flatten(0, -2) @ narrow_a.t()
        y.flatten(0, -2).addmm_(low, narrow_b.t(), alpha=scale)
        ctx.save_for_backward(x, weight, narrow_a, narrow_b, low)
        ctx.scale, ctx.precision = scale, a.dtype
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, low = ctx.saved_tensors
        flat = gradient.flatten(0, -2)
        flat_low = (flat @ b).mul_(ctx.scale)
        grad_a = (flat_low.t() @ x.flatten(0, -2)).to(ctx.precision)
        grad_b = (flat.t() @ low).mul_(ctx.scale).to(ctx.precision)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (flat @ weight).addmm_(flat_low, a).view_as(x)
        return grad_x, None, None, grad_a, grad_b, None


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")

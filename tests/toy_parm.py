"""A PARM of the toy on disk, with random factors, and the plain LoRA that it is at one vector."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from toy_arms import card, make_arm

from genarm.models import ModelSource
from genarm.models.arm import CONFIG, WEIGHTS, write_card
from genarm.models.bilinear import Conditioning, parm_config

DIMENSIONS = ("loud", "brief")
R1, R2 = 3, 2


def make_parm(
    folder: Path, source: ModelSource, model, *, seed: int, dimensions=DIMENSIONS, **lora: object
) -> Path:
    """A PARM with random factors and its card; r1 = 3, r2 = 2."""
    make_arm(folder, source, model, seed=seed, **{"r": R1 + R2, "lora_alpha": 7, **lora})
    conditioning = Conditioning(tuple(dimensions), R1, R2)
    tensors, generator = load_file(folder / WEIGHTS), torch.Generator().manual_seed(seed)
    for key in [key for key in tensors if key.endswith("lora_A.weight")]:
        name = key.removesuffix("lora_A.weight")
        for kind, shape in (("W1", (R1, R1)), ("W2", (len(dimensions), R2, R2))):
            tensors[f"{name}lora_{kind}"] = torch.randn(*shape, generator=generator)
    save_file(tensors, folder / WEIGHTS)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps(parm_config(config, conditioning)), encoding="utf-8")
    write_card(folder, card(source))
    return folder


def delta_weights(folder: Path, preference: Mapping[str, float]) -> dict[str, torch.Tensor]:
    """(alpha / r2) (B1 W1 A1 + B2 W2(p) A2) of each module in float64, by the definition."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    tensors = {key: value.double() for key, value in load_file(folder / WEIGHTS).items()}
    scale = config["lora_alpha"] / config["r"]  # the file's alpha is r / r2 times the paper's
    deltas = {}
    for key, a in tensors.items():
        if not key.endswith(".lora_A.weight"):
            continue
        name = key.removesuffix(".lora_A.weight")
        b, w1, w2 = (tensors[name + end] for end in (".lora_B.weight", ".lora_W1", ".lora_W2"))
        mixed = sum(preference.get(d, 0.0) * w2[i] for i, d in enumerate(config["parm"]["dimensions"]))
        deltas[name.removeprefix("base_model.model.")] = scale * (
            b[:, :R1] @ w1 @ a[:R1] + b[:, R1:] @ mixed @ a[R1:]
        )
    return deltas


def merged(model, folder: Path, preference: Mapping[str, float]):
    """A copy of the model with the PARM at one vector added to its weights."""
    new = copy.deepcopy(model)
    with torch.no_grad():
        for path, delta in delta_weights(folder, preference).items():
            new.get_submodule(path).weight += delta.float()
    return new.eval()

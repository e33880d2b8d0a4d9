"""Toys whose scores are no numbers: a damaged base, one too wide for float16, and a damaged ARM."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from toy_arms import make_arm
from toys import byte_tokenizer, toy_model

from genarm.models import ModelSource, resolve
from genarm.models.arm import WEIGHTS, read_card, write_card

DAMAGED = "model.layers.2.mlp.down_proj.weight"


def damaged_base(folder: Path, name: str = DAMAGED, row: int = 0) -> ModelSource:
    """The toy with NaN in one row of a weight."""
    model = toy_model(tie_word_embeddings=False)
    model.get_parameter(name).data[row] = torch.nan
    return saved(model, folder)


def loud_base(folder: Path) -> ModelSource:
    """Finite weights whose products float16 cannot hold, and float32 can."""
    model = toy_model()
    for layer in model.model.layers:
        layer.mlp.down_proj.weight.data *= 300
        layer.mlp.up_proj.weight.data *= 300
    return saved(model, folder)


def saved(model, folder: Path) -> ModelSource:
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return resolve(str(folder))


def damaged_arm(folder: Path, source: ModelSource) -> Path:
    """An adapter of which one factor is NaN, with a card that fits it."""
    make_arm(folder, source, toy_model(), seed=1)
    card, tensors = read_card(folder), load_file(folder / WEIGHTS)
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name] = torch.full_like(tensors[name], torch.nan)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    write_card(folder, card)
    return folder

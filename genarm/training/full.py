"""Training of all weights: kept in float32, computed in the precision of decoding, saved in that precision.

An update of one part in a thousand is lost when it is added to a bfloat16 weight, which has eight bits.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genarm.training.transformers_hooks import replace_forward

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def make_all_trainable(model: "PreTrainedModel", dtype: str) -> "PreTrainedModel":
    """Let every weight of a float32 model train, with passes in `dtype` as they will run in decoding."""
    model.requires_grad_(True)
    if dtype == "float32":
        return model
    mixed_precision = torch.autocast(model.device.type, getattr(torch, dtype))
    for part in (model.get_decoder(), model.get_output_embeddings()):
        replace_forward(part, mixed_precision)

    # autocast leaves embeddings in float32, and everything added to them: the whole residual stream
    def in_dtype(_module: nn.Module, _inputs: Any, out: Tensor) -> Tensor:
        return out.to(getattr(torch, dtype))

    model.get_input_embeddings().register_forward_hook(in_dtype)
    return model


def save_full_model(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path, dtype: str
) -> None:
    """Write a plain transformers folder; the model itself is converted to `dtype` and trains no further."""
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)

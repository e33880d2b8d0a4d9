"""Training of all weights: kept in float32, computed in the precision of decoding, saved in that precision.

An update of one part in a thousand is lost when it is added to a bfloat16 weight, which has eight bits.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def train_all(model: "PreTrainedModel", dtype: str) -> "PreTrainedModel":
    """Let every weight of a float32 model train, and its passes run in `dtype` as they will in decoding."""
    model.requires_grad_(True)
    if dtype == "float32":
        return model
    narrow = torch.autocast(model.device.type, getattr(torch, dtype))
    for part in (model.get_decoder(), model.get_output_embeddings()):
        part.forward = narrow(part.forward)

    # autocast leaves embeddings wide, and all that is added to them: the whole residual stream
    def narrowed(_module: nn.Module, _inputs: Any, out: Tensor) -> Tensor:
        return out.to(getattr(torch, dtype))

    model.get_input_embeddings().register_forward_hook(narrowed)
    return model


def save_whole(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path, dtype: str
) -> None:
    """A plain transformers folder; the model is narrowed to `dtype` and done with."""
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)

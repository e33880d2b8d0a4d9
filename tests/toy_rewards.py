"""Toy reward models: tiny sequence-classification models on disk, loud enough to tell positions apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from toys import byte_tokenizer, reconfigure
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerBase,
)

from genarm.types import Message, Prompt

SIZES: dict[str, Any] = {
    "vocab_size": 264,
    "initializer_range": 0.5,
    "pad_token_id": 257,
    "eos_token_id": 256,
}


def llama(seed: int = 0, **config: Any) -> LlamaForSequenceClassification:
    torch.manual_seed(seed)
    sizes = SIZES | {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_labels": 1}
    sizes |= {"num_attention_heads": 4, "max_position_embeddings": 512}
    return LlamaForSequenceClassification(LlamaConfig(**(sizes | config))).eval()


def gpt2(seed: int = 0, **config: Any) -> GPT2ForSequenceClassification:
    torch.manual_seed(seed)
    sizes = SIZES | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512, "num_labels": 1}
    return GPT2ForSequenceClassification(GPT2Config(**(sizes | config))).eval()


def save(folder: Path, model: Any, tokenizer: PreTrainedTokenizerBase | None = None) -> Path:
    model.save_pretrained(folder)
    (tokenizer or byte_tokenizer()).save_pretrained(folder)
    return folder


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Write a saved model's weights again with other tensors."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def as_beaver(folder: Path, *, bias: float | None = None) -> None:
    """Rename the head of a saved model as Beaver's class calls it."""

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        tensors["score_head.weight"] = tensors.pop("score.weight")
        if bias is not None:
            tensors["score_head.bias"] = torch.tensor([bias])
        tensors["normalizer.mean"] = torch.tensor([3.0])

    change_tensors(folder, rename)
    reconfigure(folder, architectures=["LlamaForScore"], score_dim=1, id2label=None, label2id=None)


def talk(*texts: str) -> Prompt:
    """Texts of user and assistant in turn."""
    return Prompt(tuple(Message(("user", "assistant")[i % 2], text) for i, text in enumerate(texts)))

"""QLoRA: the frozen weights in 4 bits, through bitsandbytes, so that a large model trains in little memory.

As in the paper (arXiv 2305.14314): NF4, the scales quantised once more, products in decoding's precision.
"""

import importlib.util
from typing import TYPE_CHECKING, Any

import torch

from genarm.errors import ConfigError
from genarm.models import ModelSource, load_whole
from genarm.training.transformers_hooks import peft_warnings_ignored

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_quantised(source: ModelSource, dtype: str) -> "PreTrainedModel":
    """A model in 4 bits, on the GPU, ready for adapters as peft prepares it.

    Raises ConfigError where there is no CUDA or no bitsandbytes.
    """
    check_quantisation()
    from peft import prepare_model_for_kbit_training
    from transformers import BitsAndBytesConfig

    model = load_whole(
        source,
        dtype=getattr(torch, dtype),
        device_map={"": torch.accelerator.current_device_index()},
        quantization_config=BitsAndBytesConfig(**qlora_settings(dtype)),
    )
    with peft_warnings_ignored():
        return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False).eval()


def qlora_settings(dtype: str) -> dict[str, Any]:
    """The settings of QLoRA, as arguments of transformers' BitsAndBytesConfig."""
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": getattr(torch, dtype),
    }


def check_quantisation() -> None:
    """Raise ConfigError where this machine cannot train on 4-bit weights."""
    missing = ""
    # On a CPU, products of bitsandbytes 0.50 have no gradient when the model is in evaluation mode.
    if not torch.cuda.is_available():
        missing = "this machine has no CUDA device"
    elif importlib.util.find_spec("bitsandbytes") is None:
        missing = "bitsandbytes is not installed"
    if missing:
        raise ConfigError(
            f"quantise: 4bit needs bitsandbytes on a CUDA device, and {missing}",
            hint="set train.quantise: null"
            + (", or pip install 'genarm[qlora]'" if "installed" in missing else ""),
        )

"""A model on disk to a model in memory: the causal LM on its device, and its tokenizer."""

from typing import TYPE_CHECKING

from genarm.errors import ModelError
from genarm.models.rotary import position_limit
from genarm.models.source import ModelSource, read_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DeviceMap = str | dict[str, int | str]


def load_model(source: ModelSource, dtype: str, device_map: DeviceMap | None = None) -> "PreTrainedModel":
    """The causal LM in evaluation mode: on the accelerator where there is one, or spread by `device_map`.

    A folder whose configuration says how its weights are quantised is loaded quantised.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # loading takes a second
    # Without `attn_implementation` transformers takes SDPA where the model allows it, which Gemma 2 does not.
    model = AutoModelForCausalLM.from_pretrained(
        source.path, dtype=getattr(torch, dtype), device_map=device_map, trust_remote_code=False
    )
    if device_map is not None:
        return model.eval()
    device = torch.accelerator.current_accelerator()  # None on a machine without one
    if device is None or device.type == "mps":  # MPS has no float64, and rewards are summed in float64
        return model.eval()
    return torch.nn.Module.to(model, device).eval()


def load_tokenizer(source: ModelSource) -> "PreTrainedTokenizerBase":
    """The tokenizer. Raises ModelError where it has no chat template, since every prompt goes through it."""
    tokenizer = read_tokenizer(source.path)
    if source.chat_template:
        tokenizer.chat_template = source.chat_template
    if not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer of {source.id!r} has no chat template",
            hint=f"set base.chat_template, or put one in {source.path / 'chat_template.jinja'}",
        )
    return tokenizer


def context_of(model: "PreTrainedModel") -> int:
    """The most tokens that the model reads: what it was made for, or fewer where its positions change there.

    A very large number where its configuration gives none.
    """
    config = model.config.get_text_config()
    context = int(getattr(config, "max_position_embeddings", None) or 2**31)
    return min(context, position_limit(config) or context)

"""A merged model on disk: a transformers folder that older programs read too, llama.cpp among them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.errors import ModelError
from genarm.models import ModelSource
from genarm.models.chat_template import end_tokens
from genarm.models.model_files import CONFIG, read_mapping
from genarm.system.files import write_text
from genarm.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MEASURED = 6  # prompts on which the loss is measured
QUESTIONS = [
    (Message("user", text),)
    for text in (
        "How was the concert?",
        "Explain how a bicycle stays upright.",
        "What should I cook tonight?",
        "Write a short message that thanks a neighbour.",
        "Why is the sky blue?",
        "My train is late again. What can I do?",
    )
]


def check_mergeable(source: ModelSource) -> None:
    """Raise ModelError where the weights are quantised: a small change would be rounded away."""
    if read_mapping(source.path / CONFIG).get("quantization_config"):
        raise ModelError(
            f"the weights of {source.id} are quantised, so a LoRA cannot be merged into them",
            hint="export with --form peft, or set base.model to the model before it was quantised",
        )


def save(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    folder: Path,
    *,
    temperature: float,
    top_k: int,
    top_p: float,
) -> None:
    """Write weights, tokenizer with its chat template, and how the model is to be sampled."""
    from transformers import GenerationConfig

    sampling = {"do_sample": True, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=end_tokens(tokenizer, model),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        **(sampling if temperature else {"do_sample": False}),
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder, save_jinja_files=False)  # the template where all programs look for it
    _name_as_before(folder)


def _name_as_before(folder: Path) -> None:
    """Give what transformers 5 has renamed under its earlier name too, as other programs know only that."""
    config = read_mapping(folder / CONFIG)
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:
        config.setdefault("rope_theta", rope["rope_theta"])
    if "dtype" in config:
        config.setdefault("torch_dtype", config["dtype"])
    _write(folder / CONFIG, config)
    file = folder / "tokenizer_config.json"
    tokenizer = read_mapping(file)
    if tokenizer.get("tokenizer_class") == "TokenizersBackend":
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
        _write(file, tokenizer)


def _write(file: Path, content: object) -> None:
    write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

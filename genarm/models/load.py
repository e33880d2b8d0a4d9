"""A model on disk to a model in memory: the causal LM on its device, and its tokenizer."""

from typing import TYPE_CHECKING, Any

from genarm.errors import ModelError
from genarm.models.control_tokens import control_tokens
from genarm.models.model_files import AGAIN, one_line
from genarm.models.quiet_loading import quiet_loading
from genarm.models.rotary import position_limit
from genarm.models.source import ModelSource, read_tokenizer
from genarm.models.template_check import check_template
from genarm.models.template_date import pin_date
from genarm.models.whole import check_whole

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DeviceMap = str | dict[str, int | str]


def load_model(source: ModelSource, dtype: str, device_map: DeviceMap | None = None) -> "PreTrainedModel":
    """The causal LM in evaluation mode: on the accelerator where there is one, or spread by `device_map`.

    A folder whose configuration says how its weights are quantised is loaded quantised. Raises what
    `load_whole` raises.
    """
    import torch

    # Without `attn_implementation` transformers takes SDPA where the model allows it, which Gemma 2 does not.
    model = load_whole(source, dtype=getattr(torch, dtype), device_map=device_map)
    if device_map is not None:
        return model.eval()
    device = torch.accelerator.current_accelerator()  # None on a machine without one
    if device is None or device.type == "mps":  # MPS has no float64, and rewards are summed in float64
        return model.eval()
    return torch.nn.Module.to(model, device).eval()


def load_whole(source: ModelSource, **settings: Any) -> "PreTrainedModel":
    """The causal LM of a folder, with `settings` of transformers' `from_pretrained`.

    Raises ModelError where transformers cannot load it, and where its tensors are not those that its
    configuration asks for: transformers would draw what is missing at random and leave out what is too much.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with quiet_loading():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source.path,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name and with both shapes
                **settings,
            )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # what is wrong with a model fails wherever it is first used
        raise ModelError(
            f"transformers cannot load {source.path}: {one_line(error)}",
            hint="take a causal language model of transformers; if it was one: " + AGAIN,
        ) from error
    model: PreTrainedModel = loaded[0]
    check_whole(source.path, model, loaded[1])
    return model


def load_tokenizer(source: ModelSource) -> "PreTrainedTokenizerBase":
    """The tokenizer, whose chat template is given a fixed date where it reads the clock.

    Every prompt goes through that template: raises ModelError where there is none, or where it does not do
    its work.
    """
    tokenizer = read_tokenizer(source.path)
    own = next(
        (n for n in ("chat_template.jinja", "tokenizer_config.json") if (source.path / n).is_file()), ""
    )
    where = str(source.path / own)
    if source.chat_template:
        tokenizer.chat_template, where = source.chat_template, "base.chat_template"
    if not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer of {source.id!r} has no chat template",
            hint=f"set base.chat_template, or put one in {source.path / 'chat_template.jinja'}",
        )
    if not isinstance(tokenizer.chat_template, str | dict):
        raise ModelError(
            f"{where}: chat_template is no text but {tokenizer.chat_template!r}",
            hint="write the template there",
        )
    tokenizer.chat_template = pin_date(tokenizer.chat_template)
    check_template(tokenizer, where)
    _check_rows(tokenizer, source)
    return tokenizer


def _check_rows(tokenizer: "PreTrainedTokenizerBase", source: ModelSource) -> None:
    """Raise ModelError where a text could hold a token for which the model has no embedding.

    Special tokens are let pass: the padding token that is often added never reaches the model.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source.path, trust_remote_code=False).get_text_config()
    rows, special = getattr(config, "vocab_size", None), control_tokens(tokenizer).ids
    beyond = [(i, t) for t, i in tokenizer.get_vocab().items() if rows and i >= rows and t not in special]
    if beyond:
        number, token = min(beyond)
        raise ModelError(
            f"the tokenizer of {source.path} has the token {token!r} with id {number}, "
            f"and the model embeds {rows} tokens (vocab_size)",
            hint="take the tokenizer that the model was saved with, or resize_token_embeddings and train it",
        )


def context_of(model: "PreTrainedModel") -> int:
    """The most tokens that the model reads: what it was made for, or fewer where its positions change there.

    A very large number where its configuration gives none.
    """
    return context_of_config(model.config)


def context_of_config(config: Any) -> int:
    """The same of a model's configuration."""
    config = config.get_text_config()
    context = int(getattr(config, "max_position_embeddings", None) or 2**31)
    return min(context, position_limit(config) or context)

"""A model without weights: the modules that its configuration describes, made in a fraction of a second."""

from typing import TYPE_CHECKING

from genarm.errors import ModelError
from genarm.models.model_files import one_line
from genarm.models.source import ModelSource

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def skeleton(source: ModelSource) -> "PreTrainedModel":
    """The causal LM of a folder on torch's meta device: shapes and no numbers.

    Raises ModelError where the configuration describes none.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(source.path, trust_remote_code=False)
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, trust_remote_code=False
            )
    except Exception as error:  # a wrong value fails wherever it is first used
        raise ModelError(
            f"{source.path / 'config.json'} describes no causal language model: {one_line(error)}",
            hint="take a decoder-only language model of transformers",
        ) from error
    return model.eval()

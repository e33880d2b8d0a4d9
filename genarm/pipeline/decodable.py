"""Asked before anything is trained: could the base model answer, and could what is trained guide it?

No stage imports this file. It refuses, and changes no result.
"""

import warnings
from collections.abc import Sequence

from genarm.config import Params, TrainConfig
from genarm.errors import AdapterError, ConfigError, ModelError
from genarm.models import ModelSource


def check_decodable(params: Params, base: ModelSource, dimensions: Sequence[str] | None = None) -> None:
    """Raise the error that decoding would raise for the base model, or for the ARMs that training would make.

    By default all dimensions are examined but those with a model of their own, which is not fetched for it.
    Raises ConfigError where the base has no such layers as `lora` names, or no room for a response, and
    RequestError for a stop string that no response could hold.
    """
    check_model(base)
    _check_sampling(params, base)
    for dimension in params.dimensions if dimensions is None else dimensions:
        config = params.train_config(dimension)
        if config.model is None or dimensions is not None:
            _check_arm(dimension, config, base)


def _check_sampling(params: Params, base: ModelSource) -> None:
    from genarm.decoding.engine.stop import check_stop
    from genarm.models import load_tokenizer
    from genarm.models.control_tokens import control_tokens
    from genarm.models.load import context_of
    from genarm.models.skeleton import skeleton

    sampling = params.respond.sampling
    check_stop(control_tokens(load_tokenizer(base)).ids, sampling.stop, "respond.sampling.stop")
    if sampling.max_new_tokens >= (context := context_of(skeleton(base))):
        raise ConfigError(
            f"respond.sampling.max_new_tokens = {sampling.max_new_tokens} leaves no room for a prompt: "
            f"the context of {base.id!r} is {context} tokens",
            hint="lower it in params.yaml",
        )


def check_model(source: ModelSource) -> None:
    """Raise ModelError where decoding would refuse a model, whatever its weights are."""
    from genarm.decoding.runner.dry_run import check_decodable as dry_run
    from genarm.models.skeleton import skeleton

    try:
        dry_run(skeleton(source))
    except ModelError as error:
        raise type(error)(f"model {source.id!r}: {error.message}", hint=error.hint) from None


def _check_arm(dimension: str, config: TrainConfig, base: ModelSource) -> None:
    import torch

    from genarm.decoding.runner.adapter_files import check_plain
    from genarm.models.skeleton import skeleton
    from genarm.training.lora import add_lora
    from genarm.training.trainable import arm_source

    source = arm_source(base, config)
    if source is not base:
        check_model(source)
    if config.method != "lora":
        return
    # The factors' start is drawn, even here; and what peft would only warn of is refused below.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        adapted = add_lora(skeleton(source), config.lora)
    try:
        check_plain(f"a LoRA on {source.id!r}", adapted.peft_config["default"].to_dict())
    except AdapterError as error:
        raise AdapterError(
            f"{dimension}: {error.message}",
            hint=f"choose another model, or set dimensions.{dimension}.train.method: full",
        ) from None

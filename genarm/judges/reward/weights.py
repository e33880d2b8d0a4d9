"""A sequence-classification model from its folder, whole: transformers draws a missing head at random.

It says so in a warning and goes on, and two loads give two heads. Beaver's models call theirs `score_head`
and give it a bias, which transformers' own class does not have; both are put in their place.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.errors import JudgeError, ModelError
from genarm.models import ModelSource
from genarm.models.model_files import CONFIG, check_folder, one_line, read_mapping
from genarm.models.quiet_loading import quiet_loading
from genarm.models.weights import tensor_names, weight_files
from genarm.models.whole import check_whole
from genarm.system.counted import counted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KIND = "ForSequenceClassification"
KNOWN = "take a sequence-classification model that transformers has a class for"
BEAVER = ("LlamaForScore", "LlamaModelForScore")
RENAMED = re.compile(r"^score_head\.")
# What a checkpoint may hold beside the classifier: the head of the language model that it was, and statistics
# by which Beaver's class could standardise its scores, which leaves their order as it is.
SPARE = ("lm_head.", "normalizer.")


def check_classifier(folder: Path, label: int | None = None) -> int:
    """Which label of a model folder is the score, read from its small files: no weights are loaded.

    Raises JudgeError where it is no sequence classification or the label is not told, ModelError where the
    folder is no model.
    """
    check_folder(folder)
    config = read_mapping(folder / CONFIG)
    architectures = config.get("architectures") or ["none"]
    if not any(str(name).endswith(KIND) or name in BEAVER for name in architectures):
        raise JudgeError(
            f"{folder / CONFIG} is of {', '.join(map(str, architectures))}, no reward model",
            hint=f"take a model whose architecture ends in {KIND}, with a head that was trained",
        )
    labels = _labels(folder, config)
    if label is None and labels != 1:
        raise JudgeError(
            f"the model in {folder} has {labels} labels, and a reward model has one",
            hint="say which of them is the score: reward_model.label (from 0)",
        )
    if label is not None and label >= labels:
        raise JudgeError(
            f"reward_model.label is {label}, and the model in {folder} has {counted(labels, 'label')}, "
            "from 0",
            hint=f"give a number below {labels}",
        )
    return label or 0


def check_head(folder: Path, name: str, tensors: set[str] | None = None) -> None:
    """Look for a head by its tensors' names, those of the weights in the folder by default: none are read.

    `name` is what the model is called. Raises JudgeError naming the tensors where it is not there, ModelError
    where transformers has no class.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            build: Any = AutoModelForSequenceClassification.from_config
            model = build(config, trust_remote_code=False)
    except Exception as error:  # as in loading: what is wrong with a model fails wherever it is first used
        raise ModelError(f"transformers cannot build {folder}: {one_line(error)}", hint=KNOWN) from error
    held = {RENAMED.sub("score.", name) for name in tensors or tensor_names(folder)}
    wanted = {name for name, _ in model.named_parameters()}
    _refuse_headless(name, model, wanted - held, held - wanted)


def load_classifier(source: ModelSource, dtype: str) -> "PreTrainedModel":
    """The model in evaluation mode, on the accelerator where there is one.

    Raises JudgeError naming the tensors where its head is not among the weights, ModelError where something
    else is missing or transformers cannot load it.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    try:
        with quiet_loading():
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                source.path,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name and with both shapes
                key_mapping={RENAMED.pattern: "score."},
                num_labels=_labels(source.path, read_mapping(source.path / CONFIG)),
                dtype=getattr(torch, dtype),
            )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # what is wrong with a model fails wherever it is first used
        raise ModelError(
            f"transformers cannot load {source.path}: {one_line(error)}",
            hint=KNOWN,
        ) from error
    model: PreTrainedModel = loaded[0]
    info = dict(loaded[1])
    _refuse_headless(source.id, model, info["missing_keys"], info["unexpected_keys"])
    info["unexpected_keys"] = {key for key in info["unexpected_keys"] if not _is_spare(key)}
    _give_bias(source, model, info)
    check_whole(source.path, model, info)
    device = torch.accelerator.current_accelerator()
    if device is not None and device.type != "mps":
        torch.nn.Module.to(model, device)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _labels(folder: Path, config: dict[str, Any]) -> int:
    """How many scores a model gives: `id2label` has an entry each; Beaver says `score_dim`."""
    from transformers import AutoConfig

    if set(config.get("architectures") or []) & set(BEAVER):
        return int(config.get("score_dim", 1))
    return int(AutoConfig.from_pretrained(folder, trust_remote_code=False).num_labels)


def _refuse_headless(name: str, model: "PreTrainedModel", missing: set[str], unexpected: set[str]) -> None:
    """Raise JudgeError where what transformers would draw at random lies outside the body of the model."""
    body = f"{model.base_model_prefix}."
    lost = sorted(key for key in missing if not key.startswith(body))
    if lost:
        found = sorted(key for key in unexpected if not key.startswith(body))
        instead = f"; they hold {', '.join(found[:3])}, which it does not know" if found else ""
        raise JudgeError(
            f"the weights of {name} lack what a {type(model).__name__} scores with: "
            f"{', '.join(lost)}{instead}",
            hint="transformers would draw that at random, and its scores would be noise: take a model that "
            "was saved with its head",
        )


def _give_bias(source: ModelSource, model: "PreTrainedModel", info: dict[str, Any]) -> None:
    """Put the bias of Beaver's head into the model, whose own head has none."""
    import torch
    from safetensors import safe_open

    held = sorted(info["unexpected_keys"] & {"score_head.bias", "score.bias"})
    if not held:
        return
    for file in weight_files(source.path):
        with safe_open(file, framework="pt") as tensors:
            for name in {"score_head.bias", "score.bias"} & set(tensors.keys()):
                head: Any = model.score
                head.bias = torch.nn.Parameter(tensors.get_tensor(name).to(head.weight.dtype))
    info["unexpected_keys"] -= set(held)


def _is_spare(key: str) -> bool:
    return key.startswith(SPARE)

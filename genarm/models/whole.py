"""Whether a loaded model is whole: its weights held what its configuration asks for, and nothing else.

transformers draws what is missing at random and leaves out what is too much, and goes on.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.errors import ModelError
from genarm.system.counted import counted

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_whole(where: Path, model: "PreTrainedModel", info: dict[str, Any]) -> None:
    """Raise ModelError naming the first tensor that is missing, of another shape or unknown to the model.

    `info` is transformers' loading info, which knows of tied weights. Buffers are computed anew; earlier
    versions of transformers saved some of them. A quantised model may hold scales that go unused.
    """
    asked = f"the configuration of {where}" if where.is_dir() else str(where)
    hint = "configuration and weights are of different models: download or save both again"
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f"{asked} asks for {counted(len(missing), 'tensor')} that the weights lack, "
            f"the first is {missing[0]!r}",
            hint=hint,
        )
    if info["mismatched_keys"]:
        name, held, wanted = sorted(info["mismatched_keys"])[0]
        raise ModelError(
            f"{asked} asks for {name!r} of shape {list(wanted)}, the weights hold {list(held)}", hint=hint
        )
    computed = [name for name, _ in model.named_buffers()]
    modules = {name for name, _ in model.named_modules()} if _is_quantised(model) else set()
    unexpected = sorted(
        key
        for key in info["unexpected_keys"]
        if key.rpartition(".")[0] not in modules
        and not any(name == key or name.endswith(f".{key}") for name in computed)
    )
    if unexpected:
        raise ModelError(
            f"{where} holds {counted(len(unexpected), 'tensor')} that its {type(model).__name__} does not "
            f"have, the first is {unexpected[0]!r}",
            hint=hint,
        )
    if info["error_msgs"]:
        raise ModelError(f"{where} was loaded with an error: {info['error_msgs'][0]}", hint=hint)


def _is_quantised(model: "PreTrainedModel") -> bool:
    return getattr(model, "hf_quantizer", None) is not None

"""Scores that are no numbers: told with their cause, a damaged weight or a precision that is too narrow."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from genarm.errors import AdapterError, ModelError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def damaged_weight(weights: "Iterable[tuple[str, Tensor]]") -> str | None:
    """The name of the first weight that holds a value which is no finite number; None where all are sound."""
    for name, weight in weights:
        if weight.is_floating_point() and not weight.is_meta and not weight.isfinite().all():
            return name
    return None


def are_numbers(logits: "Tensor") -> bool:
    """Whether logits can be decoded: -inf rules a token out, NaN and +inf are no scores."""
    return bool(((logits < float("inf")) & (logits > float("-inf")).any(-1, keepdim=True)).all())


def cause(model: "PreTrainedModel") -> tuple[str, str]:
    """Why the scores of a model are no numbers, and what to do about it; every weight is looked at."""
    where = str(model.name_or_path or type(model).__name__)
    dtype = str(model.dtype).removeprefix("torch.")
    if name := damaged_weight(model.named_parameters()):
        if dtype == "float16" and not model.get_parameter(name).isnan().any():
            return (
                f"the weight {name} of {where} holds values beyond the largest of float16, 65504",
                "set base.dtype to bfloat16 or float32; if it is infinite there too, fetch the model again",
            )
        return (
            f"the weight {name} of {where} holds values that are no numbers",
            "the model is damaged: fetch or convert it again",
        )
    if dtype == "float16":
        return (
            f"the weights of {where} are sound, and float16 is too narrow for what it computes",
            "set base.dtype to bfloat16 or float32",
        )
    return (
        f"the weights of {where} are finite, and too large for {dtype}",
        "take another model" if dtype == "float32" else "set base.dtype to float32, or take another model",
    )


def not_numbers(what: str, model: "PreTrainedModel") -> ModelError:
    """The error for scores that are no numbers; `what` names them, such as "the model's logits"."""
    dtype = str(model.dtype).removeprefix("torch.")
    why, way_out = cause(model)
    return ModelError(f"{what} are not numbers in {dtype}: {why}", hint=way_out)


def check_adapter(name: str, weights: "Iterable[tuple[str, Tensor]]") -> None:
    """Raise AdapterError where a weight of this ARM's adapter is no finite number."""
    if damaged := damaged_weight(weights):
        raise AdapterError(
            f"ARM {name!r}: its weight {damaged} holds values that are no numbers",
            hint="train it again, or put another version in its place",
        )

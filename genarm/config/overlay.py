"""What a dimension changes of the section `train`: the same keys, none required, laid over it."""

from collections.abc import Mapping
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import InitErrorDetails

from genarm.config.explain import is_section
from genarm.config.numbers import Section
from genarm.config.train import TrainConfig


def overlay_of(model: type[BaseModel]) -> type[BaseModel]:
    """The same keys with the same checks, none of them required: what may be laid over a `model`."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        annotation = _overlaid(field.annotation)
        checked = Annotated[annotation, *field.metadata] if field.metadata else annotation
        fields[name] = (checked, None)
    return create_model(f"{model.__name__}Overlay", __base__=Section, **fields)


def _overlaid(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        return Union[tuple(_overlaid(part) for part in get_args(annotation))]  # noqa: UP007  parts are computed
    return overlay_of(annotation) if is_section(annotation) else annotation


if TYPE_CHECKING:
    TrainOverlay = TrainConfig
else:
    TrainOverlay = overlay_of(TrainConfig)


def laid_over(below: BaseModel, above: BaseModel, dimension: str) -> TrainConfig:
    """The settings of one dimension: `train` with what the dimension changes of it.

    Raises a ValidationError with the path of the key to change.
    """
    changed = above.model_dump(exclude_unset=True)
    values = _merged(below.model_dump(exclude_unset=True), changed)
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise _located(error, dimension, changed) from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _merged(old, value)
        merged[key] = value
    return merged


def _located(error: ValidationError, dimension: str, above: Mapping[str, Any]) -> ValidationError:
    """The same errors, located at the dimension where it holds the key's section, else at `train`."""
    details = []
    for item in error.errors():
        set_here = item["loc"][0] in above if item["loc"] else bool(above)
        section = ("dimensions", dimension, "train") if set_here else ("train",)
        details.append(
            InitErrorDetails(
                type=item["type"],
                loc=(*section, *item["loc"]),
                input=item["input"],
                ctx=item.get("ctx", {}),
            )
        )
    return ValidationError.from_exception_data("params", details)

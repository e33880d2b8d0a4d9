"""The section `train`: what holds for every dimension, and what each dimension changes of it."""

from collections.abc import Mapping
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
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


class TrainSection(Section):
    """`default`, and by the name of a dimension what it changes: `config` lays the one over the other."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, TrainOverlay] = Field(init=False)

    default: TrainOverlay = TrainOverlay()

    @property
    def dimensions(self) -> list[str]:
        """The dimensions that have an entry."""
        return list(self.__pydantic_extra__)

    def config(self, dimension: str) -> TrainConfig:
        """The settings of one dimension. Raises a ValidationError with the path of the key to change."""
        above = self.__pydantic_extra__[dimension].model_dump(exclude_unset=True)
        values = _laid_over(self.default.model_dump(exclude_unset=True), above)
        try:
            return TrainConfig.model_validate(values)
        except ValidationError as error:
            raise _located(error, dimension, above) from None

    @model_validator(mode="after")
    def _every_dimension_can_be_trained(self) -> "TrainSection":
        for dimension in self.dimensions:
            self.config(dimension)
        return self


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _laid_over(old, value)
        merged[key] = value
    return merged


def _located(error: ValidationError, dimension: str, above: Mapping[str, Any]) -> ValidationError:
    """The same errors, located at the dimension where it holds the key's section, else at `default`."""
    details = []
    for item in error.errors():
        set_here = item["loc"][0] in above if item["loc"] else bool(above)
        section = dimension if set_here else "default"
        details.append(
            InitErrorDetails(
                type=item["type"],
                loc=(section, *item["loc"]),
                input=item["input"],
                ctx=item.get("ctx", {}),
            )
        )
    return ValidationError.from_exception_data("train", details)

"""A section of parameters whose numbers are numbers: true is not 1, infinity and NaN are no settings."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """A frozen section that knows all of its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        types = _types_in(cls.model_fields[str(info.field_name)].annotation)
        if types & {int, float} and not types & {bool, Any}:
            entries = value if isinstance(value, Mapping) else {"": value}
            for key, entry in entries.items():
                if isinstance(entry, bool):
                    what = f"{key} = {str(entry).lower()}" if key else str(entry).lower()
                    raise ValueError(f"{what} is no number")
        return value


def _types_in(annotation: Any) -> set[Any]:
    """The plain types that an annotation is made of."""
    parts = get_args(annotation)
    if not parts:
        return {annotation} if isinstance(annotation, type) or annotation is Any else set()
    return set[Any]().union(*map(_types_in, parts))

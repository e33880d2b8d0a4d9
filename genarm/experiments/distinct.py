"""Lists of an experiment in which nothing may stand twice: it would count twice, or not at all."""

from typing import TypeVar

T = TypeVar("T")


def once(what: str, values: tuple[T, ...]) -> tuple[T, ...]:
    """The values as they are. Raises ValueError naming the first that stands twice."""
    if twice := [value for i, value in enumerate(values) if value in values[:i]]:
        raise ValueError(f"{what} {twice[0]!r} stands twice")
    return values

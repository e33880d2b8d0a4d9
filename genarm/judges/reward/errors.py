"""What goes wrong with a model's files, as an error of the judge that is made of them."""

from collections.abc import Callable
from typing import Any, TypeVar

from genarm.errors import GenarmError, JudgeError, Unreachable

T = TypeVar("T")


def as_judge_error(function: Callable[..., T], *arguments: Any, where: str) -> T:
    """Call a function on a model's files.

    What its error says of `base` in params.yaml is said of `reward_model` here, and `where` names the judge.
    """
    try:
        return function(*arguments)
    except JudgeError:
        raise
    except GenarmError as error:
        kind = Unreachable if isinstance(error, Unreachable) else JudgeError
        message, hint = (text.replace("base.", "reward_model.") for text in (error.message, error.hint))
        hint = hint.partition("; as reward_model.model")[0]  # the embedded base is no judge
        raise kind(f"judge {where}: {message}", hint=hint) from None

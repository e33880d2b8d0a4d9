"""Whether two judges of a dimension are one under two names: the second would confirm anything."""

from pathlib import Path

from genarm.config import DimensionConfig, JudgeConfig
from genarm.errors import JudgeError
from genarm.judges.named import find
from genarm.judges.scorers import SCORERS


def check_apart(dimension: str, config: DimensionConfig, root: Path | None) -> None:
    """Raise JudgeError where `held_out` is the judge itself: by another name, too."""
    if config.held_out is not None and (both := shared(config.judge, config.held_out, root)):
        raise JudgeError(
            f"dimensions.{dimension}.held_out, {config.held_out.name}, is the judge {config.judge.name}: "
            f"both are {both}",
            hint="name a judge of another kind, which took no part in labels, training or tuning, or none",
        )


def shared(one: JudgeConfig, other: JudgeConfig, root: Path | None) -> str:
    """What two judges both are; empty where they differ. A tie, or how it is called, makes no other judge.

    Raises JudgeError where a name leads nowhere.
    """
    essence = _essence(one, root)
    return _shown(essence) if essence == _essence(other, root) else ""


def _essence(config: JudgeConfig, root: Path | None) -> tuple[object, ...]:
    """What makes a judge say what it says, without how it is called and run."""
    if config.llm is not None:
        return ("model", config.llm.model, config.llm.base_url, config.llm.template)
    if config.reward_model is not None:
        return ("model", config.reward_model.model, config.reward_model.revision, config.reward_model.label)
    if config.trained is not None:
        return ("trained judge", f"{config.trained.version} of {config.trained.dimension}")
    called = SCORERS.get(config.name) if ":" not in config.name else find(config.name, root).called
    where = getattr(called, "__module__", None), getattr(called, "__qualname__", config.name)
    return ("function", *where, config.options)


def _shown(essence: tuple[object, ...]) -> str:
    kind, first, second, *_ = (*essence, None)
    return f"{first}:{second}" if kind == "function" else f"{kind} {first}"

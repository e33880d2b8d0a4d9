"""Which settings a row with `constrain` tries, and what keeps a row from having it."""

from collections.abc import Mapping
from typing import Any

from genarm.experiments.config import ExperimentConfig
from genarm.experiments.row_config import ConstraintConfig, RowConfig

# Method -> the setting that names its parts by dimension, and what of a part can be varied.
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "guided": ("arms", ("weight", "share")),
    "parm": ("dimensions", ("share",)),
    "soup": ("adapters", ("share",)),
}


def constrained_settings(row: RowConfig) -> list[dict[str, Any]]:
    """The settings that a row changes for each value of its constraint, ascending; none without one.

    A weight is that of the dimension's ARM alone; the others keep the row's. A share is the dimension's;
    the setting `share` is that of the first part.
    """
    if (given := row.constrain) is None:
        return []
    if given.varied == "share":
        first = _parts(row)[:1] == [given.dimension]
        return [{"share": value if first else 1 - value} for value in given.values]
    fixed = row.settings.get("weight", 1.0)
    others = [part for part in _parts(row) if part != given.dimension]
    weights = dict(fixed) if isinstance(fixed, Mapping) else dict.fromkeys(others, fixed)
    return [{"weight": {**weights, given.dimension: value}} for value in given.values]


def cannot_be_constrained(row: RowConfig, config: ExperimentConfig) -> str | None:
    """Why the constraint of a row makes no sense; None where it does, or where there is none."""
    if (given := row.constrain) is None:
        return None
    if row.method not in PARTS:
        return f"{row.method} has no part of a dimension to vary; known: {', '.join(PARTS)}"
    if given.dimension not in config.judges:
        return f"nobody judges {given.dimension!r}; judges has {', '.join(config.judges)}"
    if given.against not in config.methods:
        return f"against is the row {given.against!r}, which is not among {', '.join(config.methods)}"
    if config.methods[given.against].constrain:
        return f"against is the row {given.against!r}, which has constrain itself and may answer nothing"
    return _cannot_vary(row, given) or _cannot_score(given, config)


def _cannot_vary(row: RowConfig, given: ConstraintConfig) -> str | None:
    key, kinds = PARTS[row.method]
    if given.varied not in kinds:
        return f"{row.method} can vary {' or '.join(kinds)} of a dimension, not {given.varied}"
    if given.dimension not in _parts(row):
        return f"{given.dimension!r} is not among its {key}: {', '.join(_parts(row)) or 'none'}"
    fixed = row.settings.get(given.varied)
    if given.varied == "share" and fixed is not None:
        return f"share is {fixed} in the row, and constrain tries {list(given.values)}: take one of them away"
    if given.varied == "weight" and row.settings.get("share") is not None:
        return "a row with share divides one weight: constrain share, or take it away"
    if isinstance(fixed, Mapping) and given.dimension in fixed:
        return (
            f"weight.{given.dimension} is {fixed[given.dimension]} in the row, and constrain tries "
            f"{list(given.values)}: take one of them away"
        )
    return None


def _cannot_score(given: ConstraintConfig, config: ExperimentConfig) -> str | None:
    """A language model compares and has no score; what a class does is only known once it is loaded."""
    if given.measure == "score" and config.judges[given.dimension].gold.llm is not None:
        return f"the gold judge of {given.dimension} compares and gives no score: measure win_rate"
    return None


def _parts(row: RowConfig) -> list[str]:
    """The dimensions of a row's parts, in order; none where the setting is not there or malformed."""
    value = row.settings.get(PARTS[row.method][0])
    return [str(part) for part in value] if isinstance(value, Mapping | list | tuple) else []

"""Parameters of tests that need no model: one section `dimensions` with what a dimension must have."""

from typing import Any


def dimension(data: str = "a", judge: str = "length", weight: float = 1, **train: Any) -> dict[str, Any]:
    """One entry of `dimensions`."""
    return {"data": data, "judge": judge, "weight": weight, "train": train}

"""What makes weights those of a mean, of adapters in a soup or of rewards in MORL."""

import math
from collections.abc import Mapping

from genarm.errors import ConfigError

ROUNDING = 1e-6


def check_mean(weights: Mapping[str, float], of: Mapping[str, object]) -> None:
    """Raise ConfigError for weights that are not of these names, not between 0 and 1, or do not sum to 1."""
    if set(weights) != set(of) or not of:
        raise ConfigError(
            f"there are weights of {', '.join(weights) or 'nothing'}, and what they weigh is "
            f"{', '.join(of) or 'nothing'}",
            hint="give a weight to each",
        )
    for name, weight in weights.items():
        if not 0 <= weight <= 1:  # so is NaN
            raise ConfigError(f"the weight of {name!r} is {weight}", hint="choose a number from 0 to 1")
    if abs(math.fsum(weights.values()) - 1) > ROUNDING:
        raise ConfigError(
            f"the weights sum to {math.fsum(weights.values()):g}, and those of a mean sum to 1",
            hint="divide each by their sum",
        )

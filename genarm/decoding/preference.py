"""The preference vector of a request, which an ARM that is conditioned on one (PARM) reads.

A vector is as PARM's training draws it: shares of at least 0 that are 1 together. One that sums to anything
else is refused and not scaled, since {"positive": 1, "plain": 1} may be half of each or a mistake.
"""

import math
from collections.abc import Mapping, Sequence
from numbers import Real

from genarm.errors import RequestError

TOLERANCE = 1e-6  # by which the shares may miss 1


def check_preference(preference: object) -> None:
    """Raise RequestError where it is neither empty nor shares of at least 0 by name that sum to 1."""
    if not isinstance(preference, Mapping):
        raise RequestError(
            f"preference is {preference!r:.60}",
            hint='name the dimension that each share belongs to: {"positive": 0.3, "plain": 0.7}',
        )
    for name, share in preference.items():
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= float(share) < math.inf:
            raise RequestError(
                f"preference for {name!r} is {share!r:.60}", hint="shares are numbers from 0 to 1"
            )
    total = math.fsum(float(share) for share in preference.values())
    if preference and abs(total - 1) > TOLERANCE:
        scaled = (
            ", ".join(f'"{name}": {share / total:.6g}' for name, share in preference.items()) if total else ""
        )
        raise RequestError(
            f"the preference sums to {total:.6g}, not 1",
            hint=f"in these proportions it is {{{scaled}}}" if total else "give a dimension its share",
        )


def check_conditioned(
    weights: Mapping[str, float],
    preference: Mapping[str, float],
    conditions: Mapping[str, Sequence[str]],
    name: str,
) -> None:
    """Raise RequestError where ARMs and preference do not belong together; `name` says which request.

    `weights` are the request's, `conditions` the dimensions of each loaded ARM that is conditioned. Such an
    ARM needs a vector as soon as it has weight, and a vector needs such an ARM, at whatever weight.
    """
    named = {arm: conditions[arm] for arm in weights if arm in conditions}
    if preference and not named:
        others = f"; {', '.join(sorted(conditions))} would be" if conditions else ""
        raise RequestError(
            f"{name} has a preference, and no ARM that it names is conditioned on one"
            + (f": {', '.join(sorted(weights))}" if weights else ""),
            hint=f"leave `preference` out, or guide by an ARM that was trained as a PARM{others}",
        )
    for arm, dimensions in named.items():
        if weights[arm] > 0 and not preference:
            raise RequestError(
                f"{name} does not say how ARM {arm!r} weighs its dimensions, {', '.join(dimensions)}",
                hint=f'say it by `preference`, such as {{"{dimensions[0]}": 1}}',
            )
        if unknown := [dimension for dimension in preference if dimension not in dimensions]:
            raise RequestError(
                f"{name}: ARM {arm!r} is not conditioned on {unknown[0]!r}",
                hint=f"it knows {', '.join(dimensions)}",
            )

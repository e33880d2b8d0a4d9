"""How far the best of n responses is from the policy that drew them.

    KL(best of n || policy) <= log n - (n - 1) / n nats a response        (arXiv 2401.01879)

The KL that was measured of such a row is a token's, and that of the responses as drawn from the base: 0.
"""

import math
from collections.abc import Mapping
from typing import Any


def kl_bound(method: str, settings: Mapping[str, Any]) -> float | None:
    """The most that choosing adds, in nats a response; None for a row that chooses nothing."""
    n = settings.get("n", 1) if method == "best_of_n" else 1
    return math.log(n) - (n - 1) / n if n > 1 else None


def distance(kl: float, bound: float | None) -> str:
    """A cell: `0.298`, or `at most 1.84 a response` of the best of several responses of the base.

    Where they were drawn from a policy that is itself away from the base, both are named: one is a token's,
    and the bound is from that policy and not from the base. Empty for NaN.
    """
    if math.isnan(kl):
        return ""
    if bound is None:
        return f"{kl:.3f}"
    most = f"at most {bound:.2f} a response"
    return f"{kl:.3f}, and {most} from that" if round(kl, 3) else most

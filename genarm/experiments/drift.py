"""How far from the base a row is tuned to go: where it counts as there, and what goes too far.

Nearly every method wins more often over the base the stronger it is, by judges that do not see that an answer
no longer answers. What methods win is comparable at an equal distance from the base, so tuning may name it.
(The same reasoning behind reporting reward against KL: Gao et al., arXiv 2210.10760.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from genarm.evaluation.text_health import text_health
from genarm.types import Response


def stands_at(kl: float, wanted: float, tolerance: float) -> bool:
    """Whether a KL is the one that is wanted, to within a share of it."""
    return abs(kl - wanted) <= tolerance * wanted


def is_greedy(settings: Mapping[str, Any]) -> bool:
    """Whether a row is certain of every token.

    Its KL then is -log p_base, which says how unlikely one text is for the base and not how far the policy
    has drifted.
    """
    return settings.get("mode") == "greedy"


def drift_faults(responses: Sequence[Response], most: float | None, settings: Mapping[str, Any]) -> list[str]:
    """In a sentence, that the mean KL a token [nats] of these responses is above `most`; else nothing.

    A greedy row is left out.
    """
    kl = text_health("challenger", responses).kl
    if most is None or kl <= most or is_greedy(settings):
        return []
    return [f"KL {kl:.3g} > {most:g} nats a token"]

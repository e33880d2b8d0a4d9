"""How far from the base a row may be tuned to go: a limit on its KL.

Nearly every method wins more often over the base the stronger it is, by judges that do not see that an answer
no longer answers. What methods win is comparable at an equal distance from the base, so tuning may limit it.
(The same reasoning behind reporting reward against KL: Gao et al., arXiv 2210.10760.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from genarm.evaluation.text_health import text_health
from genarm.types import Response


def drift_faults(responses: Sequence[Response], most: float | None, settings: Mapping[str, Any]) -> list[str]:
    """In a sentence, that the mean KL a token [nats] of these responses is above `most`; else nothing.

    A row with `mode: greedy` is left out: it is certain of every token, so its KL is -log p_base, which says
    how unlikely one text is for the base and not how far the policy has drifted.
    """
    kl = text_health("challenger", responses).kl
    if most is None or kl <= most or settings.get("mode") == "greedy":
        return []
    return [f"KL {kl:.3g} > {most:g} nats a token"]

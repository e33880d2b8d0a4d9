"""Versions as what answers, for those who serve them and do not know the registry; no stage imports it."""

from typing import TYPE_CHECKING

from genarm.registry.served import BestOf, Choosing, best_of, open_served

if TYPE_CHECKING:
    from genarm.registry.served import BestOfN as BestOfN

__all__ = ["BestOf", "Choosing", "best_of", "open_served"]

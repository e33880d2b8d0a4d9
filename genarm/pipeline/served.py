"""Versions as what answers, for those who serve them and do not know the registry; no stage imports it."""

from genarm.registry.served import BestOf, BestOfN, Choosing, best_of, open_served

__all__ = ["BestOf", "BestOfN", "Choosing", "best_of", "open_served"]

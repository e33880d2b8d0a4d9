"""Promotions and rollbacks of several clones that share a server, with kills among them."""

from faults_campaign import Campaign
from faults_counts import Counts
from faults_registry import clones_on_one_server

PROCESSES, CLONES = 8, 4
CHANGES, KILLS = 200, 40
QUICK_CHANGES, QUICK_KILLS = 6, 2


def races(campaign: Campaign) -> Counts:
    """The counts of `clones_on_one_server`."""
    changes, kills = (QUICK_CHANGES, QUICK_KILLS) if campaign.quick else (CHANGES, KILLS)
    return Counts(
        **clones_on_one_server(
            campaign.folder / "races",
            changes=changes,
            kills=kills,
            processes=PROCESSES,
            clones=CLONES,
            seed=campaign.seed,
        )
    )

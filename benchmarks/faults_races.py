"""Promotions and rollbacks of several clones that share a server, with kills among them."""

from faults_campaign import Campaign
from faults_counts import Counts

PROCESSES, CLONES = 8, 4
CHANGES, KILLS = 200, 40
QUICK_CHANGES, QUICK_KILLS = 6, 2


def races(campaign: Campaign) -> Counts:
    """The counts of `clones_on_one_server`."""
    try:
        from faults_registry import clones_on_one_server
    except ImportError:
        return Counts(skipped="not here")
    changes, kills = (QUICK_CHANGES, QUICK_KILLS) if campaign.quick else (CHANGES, KILLS)
    folder = campaign.folder / "races"
    folder.mkdir()
    found = clones_on_one_server(
        folder, changes=changes, kills=kills, processes=PROCESSES, clones=CLONES, seed=campaign.seed
    )
    counts = Counts(notes=list(found.get("notes", [])), kills=found.get("kills", kills))
    for column in ("tried", "lost", "double", "crashed", "hung", "silent"):
        setattr(counts, column, int(found.get(column, 0)))
    return counts

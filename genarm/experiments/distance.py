"""How far from the base each row stands after tuning: a cell of the table, and notes on who is elsewhere."""

from collections.abc import Sequence

from genarm.experiments.best_of import distance
from genarm.experiments.config import BASE
from genarm.experiments.load import Experiment
from genarm.experiments.results import Row


def tuned_to(row: Row, wanted: float | None) -> str:
    """`0.298 (4 tries)`: the KL on validation prompts of what was taken; `, not 0.3` where it missed."""
    if row.tuned is None or (taken := row.tuned.taken) is None:
        return ""
    tries = len(row.tuned.curve)
    told = f"{distance(taken.kl, row.kl_bound)} ({tries} {'try' if tries == 1 else 'tries'})"
    return f"{told}, not {wanted:g}" if wanted is not None and row.tuned.missed else told


def distance_notes(experiment: Experiment, rows: Sequence[Row]) -> list[str]:
    """Where rows are compared at one KL: those that stand elsewhere and why, and those that are not tuned."""
    config = experiment.config
    if (wanted := config.tuning.kl) is None:
        return []
    elsewhere: dict[str, list[str]] = {}
    for row in rows:
        if row.tuned and row.tuned.missed and (taken := row.tuned.taken):
            at = distance(taken.kl, row.kl_bound)
            elsewhere.setdefault(row.tuned.missed, []).append(f"{row.name} ({at})")
    found = [
        f"at another KL than {wanted:g} nats a token on validation prompts: {', '.join(who)}: {why}"
        for why, who in elsewhere.items()
    ]
    untuned = [row.name for row in rows if row.tuned is None and row.name != BASE]
    if untuned:
        found.append(f"not tuned, and so at whatever KL they have: {', '.join(untuned)}")
    return found

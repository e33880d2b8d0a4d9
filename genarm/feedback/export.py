"""The votes on a dimension as preference pairs, in the form that the project reads, with their provenance."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genarm.feedback.bounds import SHARE, bounded, candidate
from genarm.feedback.comparison import Answer, Comparison, Vote
from genarm.feedback.store import Store
from genarm.system.counted import counted
from genarm.system.files import write_rows

FORM = 1  # changes where the same votes would give other rows


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of the votes on a dimension: pairs, and how many were left out for each reason."""

    dimension: str
    votes: int
    pairs: int
    left_out: dict[str, int]

    @property
    def told(self) -> str:
        """A line for people."""
        line = f"{self.dimension}: {counted(self.pairs, 'pair')} of {counted(self.votes, 'vote')}"
        if self.left_out:
            line += f"; left out: {', '.join(f'{n} {reason}' for reason, n in self.left_out.items())}"
        if not self.pairs and SHARE in self.left_out:
            line += "; more people have to vote, or feedback.max_share has to be larger"
        return line


def export(store: Store, dimension: str, path: Path, upto: int | None = None) -> Exported:
    """Write the pairs of a dimension to a JSON Lines file in the order of the votes, up to the vote `upto`.

    The votes are read twice, so that of those that are left out no text is kept in memory.
    """
    votes = [candidate(vote) for vote in store.votes(dimension, upto)]
    result = bounded(votes, store.config)
    rows = [row(vote) for vote in store.votes(dimension, upto) if vote.comparison.id in result.ids]
    write_rows(path, rows)
    return Exported(dimension, len(votes), len(rows), result.left_out)


def mark(store: Store, dimension: str, upto: int | None = None) -> tuple[str, int]:
    """What changes whenever an export would, and the number of the last vote; it reads no vote."""
    count, last = store.mark(dimension, upto)
    bounds = store.config.model_dump(mode="json", exclude={"store", "expires", "hash_users"})
    text = json.dumps([FORM, count, last, bounds], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), last


def row(vote: Vote) -> dict[str, Any]:
    """A pair; beside its texts only what tells where it came from, and nothing of who voted."""
    c = vote.comparison
    chosen, rejected = (c.a, c.b) if vote.choice == "a" else (c.b, c.a)
    return {
        "prompt": [dict(turn) for turn in c.prompt],
        "chosen": chosen.text,
        "rejected": rejected.text,
        "source": "feedback",
        "comparison_id": c.id,
        "time": datetime.fromtimestamp(vote.at, UTC).isoformat(timespec="seconds"),
        "chosen_model": _model(chosen, c),
        "rejected_model": _model(rejected, c),
    }


def _model(answer: Answer, comparison: Comparison) -> dict[str, Any]:
    return {
        "base": comparison.base,
        "versions": dict(answer.versions),
        "weights": dict(answer.weights),
        "seed": answer.seed,
        "sampling": dict(comparison.sampling),
    }

"""What comes on each of thirty nights, and what the rules make of it, worked out by hand.

An ARM trained on data with the strength s wins over one with t on a share 1 / (1 + exp(t - s)) of the 60
prompts; the base has strength 0. The rule promotes from 40 of 60 on: p < 0.01, one-sided sign test.
"""

from dataclasses import dataclass

# Data version: rows, those of which the first ten prefer the other response, and the strength it gives.
DATA = {
    "A": (40, False, 1.1),
    "B": (45, False, 1.2),
    "C": (50, True, 2.1),
    "D": (55, True, 2.0),
    "E": (60, True, 3.0),
    "F": (65, True, 3.1),
    "G": (70, True, 4.2),
    "H": (20, True, 0.0),
}


@dataclass(frozen=True, slots=True)
class Happened:
    """What a night left behind, read from DVC, MLflow and git."""

    data: str
    measured: str
    decision: str
    in_use: str
    published: str


@dataclass(frozen=True, slots=True)
class Night:
    """One night. `source` is the data that the source has by now, or the status it answers with."""

    clock: str
    what: str
    source: str | int
    expected: Happened
    answer: str = ""  # of a person, before the night, on data that waits
    mlflow: bool = True
    remote: bool = True
    killed: bool = False  # within the promotion
    wins: int | None = None  # of 20, where judges have changed their mind


def _night(clock: str, what: str, source: str | int, expected: str, **changes: object) -> Night:
    return Night(clock, what, source, Happened(*expected.split(" | ")), **changes)  # type: ignore[arg-type]


FAILED = "failed | - | - | {} | -"
PLAN = [
    _night("03-01", "data A", "A", "A | - | v1 promote | v1 | pushed"),
    _night("03-02", "nothing new", "A", "same | v1 15/20 | same | v1 | -"),
    _night("03-03", "the source answers 503", 503, FAILED.format("v1")),
    _night("03-04", "data B", "B", "B | v1 15/20 | v2 hold | v1 | pushed"),
    _night("03-05", "nothing new", "B", "same | v1 15/20 | v2 hold | v1 | -"),
    _night("03-06", "MLflow is away", "B", "same | away | away | v1 | -", mlflow=False),
    _night("03-07", "data C, ten labels flipped", "C", "held | v1 15/20 | v2 hold | v1 | -"),
    _night("03-08", "nobody answers", "C", "held | v1 15/20 | v2 hold | v1 | -"),
    _night("03-09", "a person approves C", "C", "C | v1 15/20 | v3 promote | v3 | pushed", answer="approve"),
    _night("03-10", "data D, MLflow is away", "D", "D | away | away | v3 | -", mlflow=False),
    _night("03-11", "MLflow is back", "D", "same | v3 18/20 | v4 hold | v3 | pushed"),
    _night(
        "03-12",
        "data E, the git remote refuses",
        "E",
        "E | v3 18/20 | v5 promote | v5 | refused",
        remote=False,
    ),
    _night("03-13", "the remote takes it", "E", "same | v5 19/20 | same | v5 | pushed"),
    _night("03-14", "the source is empty", "", FAILED.format("v5")),
    _night("03-15", "the source is gone", 404, FAILED.format("v5")),
    _night("03-12", "the clock is four days late", "E", "same | v5 19/20 | same | v5 | -"),
    _night("03-17", "the clock is right", "E", "same | v5 19/20 | same | v5 | -"),
    _night("2028-03-18", "the clock is a year ahead", "E", "same | v5 19/20 | same | v5 | -"),
    _night("03-19", "the clock is right", "E", "same | v5 19/20 | same | v5 | -"),
    _night("03-19", "the same day again", "E", "same | earlier today | same | v5 | -"),
    _night("03-21", "judges change their mind", "E", "same | v5 3/20 | same | v5 | -", wins=3),
    _night("03-22", "they stay with it", "E", "same | v5 3/20 | same | v5 | -", wins=3),
    _night(
        "03-23",
        "the third such night",
        "E",
        "same | v5 3/20, worse: v3 is back | v5 reject | v3 | pushed",
        wins=3,
    ),
    _night("03-24", "nothing new", "E", "same | v3 18/20 | v5 reject | v3 | -"),
    _night("03-25", "data F", "F", "F | v3 18/20 | v6 promote | v6 | pushed"),
    _night("03-26", "nothing new", "F", "same | v6 19/20 | same | v6 | -"),
    _night("03-27", "data G, killed while promoting", "G", "G | v6 19/20 | killed | v6 | -", killed=True),
    _night("03-28", "the next run mends it", "G", "same | v6 19/20 | v7 promote | v7 | pushed"),
    _night("03-29", "data H, most rows are gone", "H", "held | v7 20/20 | same | v7 | -"),
    _night("03-30", "a person rejects H", "H", "same | v7 20/20 | same | v7 | -", answer="reject"),
]

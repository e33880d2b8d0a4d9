"""Thirty nights of a project on a clock: new data, bad data, servers that fail, a clock that jumps, a kill.

    python benchmarks/nights.py                  the table of docs/operations.md, a minute or two
    python benchmarks/nights.py --keep FOLDER    works there and leaves it as it is

Each night does what the flow `refresh` does, in its order, without Prefect and with numbers for models:
the source is asked and its data taken in or held (HTTP, DVC), champions are measured again (MLflow), and what
was trained is registered, decided on by the rule of `params.yaml`, promoted and published (git). How good an
ARM is, is said by the data it was trained on. `nights_plan.py` says what comes on each night, and what the
rules make of it.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from nights_plan import PLAN
from nights_project import Happened, NightlyProject

from genarm.system.env import TELEMETRY_OFF

HEAD = ("night", "clock", "what comes", "data", "measured", "decision", "in use", "published")


def simulate(folder: Path) -> tuple[list[Happened], NightlyProject]:
    """Live through the plan in an empty folder; what happened on each night, and the project at the end."""
    with NightlyProject.made(folder) as project:
        return [project.live(night) for night in PLAN], project


def markdown(happened: list[Happened]) -> str:
    """The nights as a table."""
    rows = [HEAD, ("---",) * len(HEAD)]
    rows += [
        (str(i), n.clock, n.what, h.data, h.measured, h.decision, h.in_use, h.published)
        for i, (n, h) in enumerate(zip(PLAN, happened, strict=True), start=1)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def main() -> int:
    """Print the table; 1 where a night went otherwise than the rules say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there and leave it as it is")
    keep = parser.parse_args().keep
    os.environ.update(TELEMETRY_OFF)
    with tempfile.TemporaryDirectory() as gone:
        folder = keep or Path(gone)
        folder.mkdir(parents=True, exist_ok=True)
        happened, _ = simulate(folder)
    print(markdown(happened))
    wrong = [i for i, (n, h) in enumerate(zip(PLAN, happened, strict=True), start=1) if n.expected != h]
    if wrong:
        print(f"otherwise than the rules say: nights {', '.join(map(str, wrong))}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

"""What survives: kills, servers that die or hang, races, damaged files, a full disk, malformed rows.

    python benchmarks/faults.py                         all of it, about an hour on two cores
    python benchmarks/faults.py --quick                 a little of everything, about 5 minutes
    python benchmarks/faults.py --only kills,damage     these experiments alone
    python benchmarks/faults.py --seed 7 --json FILE    the same faults as another run with that seed

Every column but the first should be 0; if one is not, the exit code is 1. benchmarks/README.md says what each
experiment does.
"""

import argparse
import datetime
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

from faults_counts import LEGEND, Counts, flat, markdown, table

from genarm.system.env import TELEMETRY_OFF

# Name, title, and where it is: a module is imported when its turn comes.
EXPERIMENTS = {
    "kills": ("whole runs killed at random moments", "faults_kills:whole_runs"),
    "writes": ("commands killed between any two writes", "faults_writes:between_writes"),
    "data": ("new data killed between any two writes", "faults_data:data_killed"),
    "servers": ("servers killed, hung and restarted", "faults_servers:servers"),
    "races": ("promotions and rollbacks of four clones at once", "faults_races:races"),
    "damage": ("a flipped byte or a cut in every kind of file", "faults_damage:damage"),
    "disk": ("full disk", "faults_disk:full_disk"),
    "rows": ("malformed rows of every format", "faults_rows:malformed"),
}
TITLES = {name: title for name, (title, _) in EXPERIMENTS.items()}


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few faults of every experiment")
    parser.add_argument("--only", help=f"experiments separated by commas: {', '.join(EXPERIMENTS)}")
    parser.add_argument("--seed", type=int, help="of all that is drawn (drawn itself, and printed)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, one flat object")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there as Markdown")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there and leave it as it is")
    chosen = parser.parse_args(arguments)
    chosen.only = chosen.only.split(",") if chosen.only else list(EXPERIMENTS)
    if unknown := set(chosen.only) - set(EXPERIMENTS):
        parser.error(f"no experiment {min(unknown)!r}; there are {', '.join(EXPERIMENTS)}")
    chosen.seed = random.randrange(10**6) if chosen.seed is None else chosen.seed
    return chosen


def main(arguments: list[str] | None = None) -> int:
    """Run the experiments, show the table and how each fault was met, write the files; the exit code."""
    chosen = options(arguments)
    for name in [n for n in os.environ if n.startswith(("PREFECT_", "MLFLOW_", "DVC_", "GENARM_"))]:
        del os.environ[name]  # of the user: nothing of it is touched
    os.environ |= TELEMETRY_OFF | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ |= {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "HF_HUB_OFFLINE": "1"}
    os.environ |= {"MLFLOW_LOGGING_LEVEL": "ERROR"}
    warnings.simplefilter("ignore")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"{datetime.date.today()}, seed {chosen.seed}{', quick' if chosen.quick else ''}")
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="genarm-faults-"))
    began = time.monotonic()
    try:
        figures = run(chosen, folder.resolve())
    finally:
        if not chosen.keep:
            shutil.rmtree(folder, ignore_errors=True)
    console.print(table(figures, TITLES))
    for column, meaning in LEGEND.items():
        console.print(f"{column:8} {meaning}", highlight=False)
    for name, counts in figures.items():
        for note in counts.notes:
            console.print(f"{name}: {note}", highlight=False, markup=False, soft_wrap=True)
    numbers = flat(figures)
    console.print(f"{numbers['kills']} SIGKILLs, {time.monotonic() - began:.0f} s, seed {chosen.seed}")
    if chosen.json:
        chosen.json.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    if chosen.markdown:
        chosen.markdown.write_text(markdown(figures, TITLES) + "\n", encoding="utf-8")
    return int(any(counts.failed for counts in figures.values()))


def run(chosen: argparse.Namespace, folder: Path) -> dict[str, Counts]:
    """The row of every experiment, each with a seed of its own, so that one alone meets the same faults."""
    from faults_campaign import Campaign

    figures: dict[str, Counts] = {}
    campaign = Campaign(folder, chosen.seed, chosen.quick)
    with campaign.servers():
        for name in chosen.only:
            began = time.monotonic()
            module, function = EXPERIMENTS[name][1].split(":")
            campaign.begin(name)
            figures[name] = getattr(importlib.import_module(module), function)(campaign)
            values = " ".join(f"{column} {n}" for column, n in figures[name].values().items())
            said = figures[name].skipped or values
            campaign.clear()
            print(f"{name}: {said} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return figures


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # servers and mounts go, too
    sys.exit(main())

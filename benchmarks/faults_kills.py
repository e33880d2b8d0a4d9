"""Kills of whole runs at random moments, spread over all of a run; then run again, to the same end.

A run is killed, started again, killed a little later, and so on, several times on its way from data to a
champion. Half of the kills go to the process group alone, the other half to every process of the run at once.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

from faults_campaign import Campaign
from faults_counts import Counts
from faults_project import BUSY, RUN_SECONDS, Ended, copy_project, genarm, kill_tree, start
from faults_reference import outcome
from faults_state import compare

PROJECTS, KILLS = 4, 10  # of a whole campaign: kills of each project's run
QUICK_PROJECTS, QUICK_KILLS = 1, 2
RESTART = 0.12  # of a run's length: when a run is where the one before it was killed, about
LOCKED_SECONDS = 60.0  # in which what a killed run has left behind must have ended
LEAST = 0.2  # seconds that a run lives at least


def whole_runs(campaign: Campaign) -> Counts:
    """Runs that are killed, against one that nobody killed."""
    counts = Counts()
    reference = campaign.reference
    projects = QUICK_PROJECTS if campaign.quick else PROJECTS
    kills = QUICK_KILLS if campaign.quick else KILLS
    for number in range(projects):
        project = copy_project(campaign.project, campaign.folder / f"killed {number}")
        moments = _kill_on_the_way(campaign, counts, project, reference.seconds, kills)
        what = f"run killed at {', '.join(moments)} s, then run to its end"
        ended = genarm(project, "run", seconds=RUN_SECONDS, more=campaign.prefect.settings())
        if campaign.failed(counts, ended, what):
            continue
        if ended.code:
            counts.note("lost", f"{what}: {ended.output.strip().splitlines()[-2:]}")
            continue
        compare(counts, reference.outcome, outcome(project), what)
    return counts


def _kill_on_the_way(
    campaign: Campaign, counts: Counts, project: Path, length: float, kills: int
) -> list[str]:
    """Start and kill a run so many times, each time further on; the moments, in seconds of a whole run."""
    moments: list[str] = []
    reached = 0.0
    for number in range(kills):
        moment = length * (number + campaign.random.random()) / kills
        lives = moment - reached + (length * RESTART if moments else 0.0)
        ended = _killed_after(campaign, project, max(LEAST, lives), every=bool(number % 2))
        if ended:
            campaign.failed(counts, ended, f"run killed at {', '.join(moments)} s, then run again")
            break
        moments.append(f"{moment:.1f}")
        reached = moment
        counts.tried += 1
        counts.kills += 1
        campaign.advance(f"{project.name}: kill {number + 1} of {kills} at {moment:.1f} of {length:.0f} s")
    return moments


def _killed_after(campaign: Campaign, project: Path, seconds: float, *, every: bool) -> Ended | None:
    """Start a run and kill it, its group or `every` process of it; how it ended, if it did so before.

    A run that meets the locks of stages which are just ending, since they follow their run, is started again.
    """
    log = project.parent / f"{project.name}.log"
    began = time.monotonic()
    while True:
        started = time.monotonic()
        run = start(project, "run", more=campaign.prefect.settings(), log=log)
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            if every:
                kill_tree(run.pid)
            else:
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            return None
        except BaseException:
            kill_tree(run.pid)
            raise
        if run.returncode != BUSY or started - began > LOCKED_SECONDS:
            return Ended(run.returncode, log.read_text(errors="replace"), time.monotonic() - started)
        time.sleep(0.5)

"""Kills of whole runs at random moments, spread over all of a run; then run again, to the same end.

A run is killed, started again, killed a little later, and so on, several times on its way from data to a
champion. Half of the kills go to the process group alone, the other half to every process of the run at once.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from faults_campaign import Campaign
from faults_child import in_child
from faults_counts import Counts
from faults_project import DIMENSION, RUN_SECONDS, copy_project, genarm, kill_tree, start
from faults_state import Facts, compare, registry_facts
from ruamel.yaml import YAML

PROJECTS, KILLS = 5, 9  # of a whole campaign: kills of each project's run
QUICK_PROJECTS, QUICK_KILLS = 1, 3
RESTART = 4.0  # seconds in which a run is where the one before it was killed, about
LEAST = 0.2  # seconds that a run lives at least


def whole_runs(campaign: Campaign) -> Counts:
    """Runs that are killed, against one that nobody killed."""
    counts = Counts()
    campaign.advance("a run that nobody kills")
    began = time.monotonic()
    reference = finished_project(campaign)
    length = time.monotonic() - began
    expected = outcome(campaign, reference)
    projects = QUICK_PROJECTS if campaign.quick else PROJECTS
    kills = QUICK_KILLS if campaign.quick else KILLS
    for number in range(projects):
        project = copy_project(campaign.project, campaign.folder / f"killed {number}")
        moments = _kill_on_the_way(campaign, counts, project, length, kills)
        what = f"run killed at {', '.join(moments)} s, then run to its end"
        ended = genarm(project, "run", seconds=RUN_SECONDS, more=campaign.prefect.settings())
        if campaign.failed(counts, ended, what):
            continue
        if ended.code:
            counts.note("lost", f"{what}: {ended.output.strip().splitlines()[-2:]}")
            continue
        compare(counts, expected, outcome(campaign, project), what)
    return counts


def finished_project(campaign: Campaign) -> Path:
    """A project whose first run promoted a champion; made once, not to be changed. Raises SystemExit."""
    project = campaign.folder / "finished"
    if not project.exists():
        copy_project(campaign.project, project)
        ended = genarm(project, "run", seconds=RUN_SECONDS, more=campaign.prefect.settings())
        if ended.code != 0:
            raise SystemExit(f"a run fails without any fault:\n{ended.output[-4000:]}")
    return project


def outcome(campaign: Campaign, project: Path) -> Facts:
    """What a run leaves: bytes of every output, decision, registry and trail; no times and no ids."""
    uri = f"sqlite:///{project / 'mlflow' / 'mlflow.db'}"
    did = in_child(
        lambda: registry_facts(project, DIMENSION, champions_file=True),
        root=project,
        seconds=RUN_SECONDS,
        settings={"MLFLOW_TRACKING_URI": uri},
    )
    if did.kind or did.hung:
        raise SystemExit(f"{project}: what is on record cannot be read: {did}")
    facts: Facts = did.value
    lock = YAML(typ="safe").load((project / "dvc.lock").read_text())["stages"]
    facts["outputs"] = [
        f"{out['path']} {out['md5']}"
        for stage in lock.values()
        for out in stage.get("outs", [])
        if out["path"] != "artifacts/report"  # names its runs
    ]
    decisions = json.loads((project / "artifacts" / "decisions.json").read_text())
    facts["decisions"] = [f"{d}: {v['outcome']} {v['reasons']}" for d, v in decisions.items()]
    return facts


def _kill_on_the_way(
    campaign: Campaign, counts: Counts, project: Path, length: float, kills: int
) -> list[str]:
    """Start and kill a run so many times, each time further on; the moments, in seconds of a whole run."""
    moments, reached = [], 0.0
    for number in range(kills):
        moment = length * (number + campaign.random.random()) / kills
        lives = moment if not moments else RESTART + moment - reached
        log = project.parent / f"{project.name}.log"
        run = start(project, "run", more=campaign.prefect.settings(), log=log)
        try:
            if _ended(run, max(LEAST, lives)):
                break
            if number % 2:
                kill_tree(run.pid)
            else:
                os.killpg(run.pid, signal.SIGKILL)
        finally:
            if run.poll() is None:
                kill_tree(run.pid)
            run.wait()
        moments.append(f"{moment:.1f}")
        reached = moment
        counts.tried += 1
        counts.kills += 1
        campaign.advance(f"{project.name}: kill {number + 1} of {kills} at {moment:.1f} of {length:.0f} s")
    return moments


def _ended(run: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait; whether the run ended by itself."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if run.poll() is not None:
            return True
        time.sleep(0.02)
    return False

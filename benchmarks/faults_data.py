"""New preference data, killed between any two writes or in the middle of DVC, then set again.

After the kill the data must be the old or the new as a whole wherever a run takes it from; after the second
command, the new.
"""

import hashlib
from pathlib import Path

from faults_campaign import Campaign
from faults_child import Death, in_child
from faults_counts import Counts
from faults_project import copy_project, write_data
from faults_state import Kept

SECONDS = 90.0
QUICK = 1
MIDDLE = 4  # kills in the middle of DVC
OLD = "old data"


def data_killed(campaign: Campaign) -> Counts:
    """Every write of `set_data`."""
    from genarm.data import dvc

    counts, source = Counts(), write_data(campaign.folder / "new data", seed=1)
    project = copy_project(campaign.project, campaign.folder / "data project")
    kept = Kept(project, campaign.folder / "data project as it was")
    kept.keep(OLD)
    old, wanted = content(project / "data"), content(source)
    whole = in_child(lambda: dvc.set_data(project, str(source)), root=project, seconds=SECONDS)
    if whole.kind or content(project / "data") != wanted:
        raise SystemExit(f"new data fails without a fault: {whole}")
    deaths = [Death(n, torn=bool(n % 2)) for n in range(whole.writes)]
    deaths += [Death(whole.writes - 1, late=campaign.random.uniform(0, 1.5)) for _ in range(MIDDLE)]
    for death in campaign.random.sample(deaths, QUICK) if campaign.quick else deaths:
        what = f"new data, killed before write {death.write} of {whole.writes}"
        what += f", {death.late:.2f} s into DVC" if death.late else ""
        kept.put_back(OLD)
        died = in_child(lambda: dvc.set_data(project, str(source)), root=project, seconds=SECONDS, die=death)
        counts.tried += 1
        counts.kills += died.killed
        found = in_child(
            lambda: [*dvc.mend(project), dvc.pull_data(project)], root=project, seconds=SECONDS
        )  # as a run begins
        failed = campaign.failed(counts, found, f"{what}; a run that needs data")
        if not failed and not found.kind and content(project / "data") not in (old, wanted):
            counts.note("lost", f"{what}: a run finds neither the old data nor the new")
        again = in_child(lambda: dvc.set_data(project, str(source)), root=project, seconds=SECONDS)
        if campaign.failed(counts, again, f"{what}: typed again"):
            continue
        if again.kind or content(project / "data") != wanted or again.value != whole.value:
            counts.note("lost", f"{what}: typed again, the new data is not there; {again.error}")
        campaign.advance(what)
    return counts


def content(folder: Path) -> dict[str, str]:
    """Hash of each file."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }

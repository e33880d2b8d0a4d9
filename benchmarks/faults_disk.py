"""A full disk: an error with a way out and, once there is space again, the same end as on an empty disk.

The project, or one folder of it, lies on a small file system of its own, of which a file takes all but a
little. Where mounting is not allowed, the experiment is left out.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults_campaign import Campaign
from faults_counts import Counts
from faults_project import RUN_SECONDS, copy_project, genarm
from faults_reference import outcome
from faults_state import compare

SIZE = 64 << 20  # bytes of the file system
PLACES = (".", "mlflow", "artifacts", ".dvc/cache")  # below the project
FREE = (0, 1 << 12, 1 << 16, 1 << 18, 1 << 20)  # bytes left, by which a run comes to different stages
RUNS = 5  # drawn from all pairs of the two
QUICK_STORE_FREE = (1 << 14, 1 << 17)


def full_disk(campaign: Campaign) -> Counts:
    """Whole runs on a full disk (in a quick campaign none), then each command of the registry."""
    counts = Counts()
    try:
        with small_disk(campaign.folder / "a disk", campaign.folder / "nothing"):
            pass
    except PermissionError as error:
        return Counts(skipped=str(error))
    if not campaign.quick:
        cases = [(place, free) for place in PLACES for free in FREE]
        for place, free in campaign.random.sample(cases, RUNS):
            _run(campaign, counts, place, free)
    _store(campaign, counts, QUICK_STORE_FREE if campaign.quick else FREE)
    return counts


def _run(campaign: Campaign, counts: Counts, place: str, free: int) -> None:
    """A whole run of a project that has little space, then one with enough."""
    expected, server = campaign.reference.outcome, campaign.prefect.settings()
    project = campaign.folder / f"full {counts.tried}"
    if place == ".":
        project.mkdir()
    else:
        copy_project(campaign.project, project)
    with small_disk(project / place, campaign.project / place) as ballast:
        what = f"genarm run with {free} bytes left in {'the project' if place == '.' else place}"
        fill(ballast, free)
        counts.tried += 1
        first = genarm(project, "run", seconds=RUN_SECONDS, more=server)
        campaign.failed(counts, first, what)
        ballast.unlink()
        again = genarm(project, "run", seconds=RUN_SECONDS, more=server)
        if not campaign.failed(counts, again, f"{what}, then with space"):
            if again.code:
                counts.note("lost", f"{what}, then with space: {again.output.strip().splitlines()[-2:]}")
            else:
                compare(counts, expected, outcome(project), what)
    campaign.advance(what)


def _store(campaign: Campaign, counts: Counts, amounts: tuple[int, ...]) -> None:
    """Each command of the registry with little space, then with enough."""
    store = campaign.store
    with small_disk(store.root, store.root) as ballast:
        commands = {
            "register": ("champions 3", lambda: store.register(3)),
            "promote": ("challenger 4", lambda: store.promote(3)),
            "rollback": ("champions 3", lambda: store.rollback(0)),
        }
        for name, (state, work) in commands.items():
            store.kept.put_back(state)
            store.must(work)
            expected = store.must(store.facts)
            for free in amounts:
                what = f"{name} with {free} bytes left"
                store.kept.put_back(state)
                fill(ballast, free)
                counts.tried += 1
                campaign.failed(counts, store.child(work), what)
                ballast.unlink(missing_ok=True)
                again = store.child(work)
                if not campaign.failed(counts, again, f"{what}, then with space"):
                    said = f"; typed again: {again.error}" if again.kind else ""
                    compare(counts, expected, store.must(store.facts), what + said)
                campaign.advance(what)


@contextmanager
def small_disk(folder: Path, content: Path) -> Iterator[Path]:
    """A small file system at a folder, with the content of another one; the file that fills it."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f"{folder.name}.content")
    if content.is_dir() and any(content.iterdir()):
        subprocess.run(["cp", "-a", content, aside], check=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        raise PermissionError("mounting is not allowed")
    try:
        if aside.exists():
            subprocess.run(["cp", "-a", f"{aside}/.", folder], check=True)
        yield folder / "ballast"
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(ballast: Path, free: int) -> None:
    """Take all space but so many bytes."""
    left = shutil.disk_usage(ballast.parent).free - free
    with ballast.open("wb") as file:
        while left > 0:
            left -= file.write(bytes(min(left, 1 << 20)))

"""Git and DVC: what the data version and the commit are, and what a run would do."""

import json
import os
import subprocess
from pathlib import Path

from genarm.doctor.locks import held
from genarm.doctor.result import CheckResult, fail, ok, warn
from genarm.errors import GenarmError
from genarm.system.layout import Layout


def data_version(root: Path) -> list[CheckResult]:
    """Check the files DVC needs, the data version they name, and whether something holds DVC's locks."""
    from genarm.data import dvc

    for name in ("dvc.yaml", "data.dvc", ".dvc/config"):
        if not (root / name).exists():
            return [fail("dvc", f"{name} is missing", f"git restore {name}")]
    version = dvc.data_version(root)
    if not version:
        return [fail("dvc", "data.dvc names no hash: it was written only in part", "git restore data.dvc")]
    if held(root / ".dvc" / "tmp" / "lock"):
        fix = "wait for it, or: dvc --wait-for-lock repro"
        return [warn("dvc", "another DVC command holds the repository", fix)]
    try:
        json.loads((root / ".dvc" / "tmp" / "rwlock").read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        pass
    except ValueError:  # no JSON, or no UTF-8
        detail = "the file .dvc/tmp/rwlock is damaged: every stage would be refused"
        return [fail("dvc", detail, "rm .dvc/tmp/rwlock")]
    if not Layout(root).data.is_dir():
        return [warn("dvc", f"data version {version[:12]} is not in data/ yet", "dvc repro data.dvc")]
    return [ok("dvc", f"data version {version[:12]}, no lock held")]


def dvc_status(root: Path) -> list[CheckResult]:
    """What a run would do; asking DVC takes seconds."""
    from genarm.pipeline.plan import plan
    from genarm.pipeline.project import Project

    try:
        changed = [step.stage for step in plan(Project(root)) if step.runs]
    except GenarmError as error:
        return [fail("dvc status", error.message, error.hint or "dvc doctor")]
    if changed:
        return [warn("dvc status", f"{len(changed)} to run: {', '.join(changed[:6])}", "genarm run")]
    return [ok("dvc status", "everything is up to date")]


def git(root: Path) -> list[CheckResult]:
    """Check that there is a commit for the lineage to name, and that the files are those of the commit."""
    commit = _git(root, "rev-parse", "--short", "HEAD")
    if commit is None:
        detail = "no git repository with a commit here: DVC refuses to work, and the lineage has no commit"
        return [fail("git", detail, "git init && git add -A && git commit -m start")]
    changed = (_git(root, "status", "--porcelain") or "").splitlines()
    if changed:
        detail = (
            f"{commit}, {len(changed)} files differ from it: what is trained now cannot be traced to a commit"
        )
        return [warn("git", detail, "git add -A && git commit")]
    return [ok("git", f"{commit}, clean")]


def _git(root: Path, *words: str) -> str | None:
    # Without GIT_OPTIONAL_LOCKS=0, `git status` takes the index lock and may disturb a commit.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", *words], cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=3
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

"""Git and DVC: what the data version and the commit are, what a run would do, which files are damaged."""

import json
import os
from pathlib import Path

from genarm.doctor.locks import held
from genarm.errors import GenarmError
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.system.layout import Layout


def data_version(root: Path) -> list[CheckResult]:
    """Check the files DVC needs, the data version they name, and whether something holds DVC's locks."""
    from genarm.data import dvc
    from genarm.data.change import Change
    from genarm.data.dvc_lock import check_readable

    if Change(root).is_cut_short:
        detail = "a change of the data was cut short: data/ and data.dvc may not agree"
        return [fail("dvc", detail, "genarm run, which completes or undoes it, or genarm data SOURCE again")]
    for name in ("dvc.yaml", "data.dvc", ".dvc/config"):
        if not (root / name).exists():
            return [fail("dvc", f"{name} is missing", f"git restore {name}")]
    try:
        check_readable(root)
        version = dvc.data_version(root)
    except GenarmError as error:
        return [fail("dvc", error.message, error.hint)]
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


def contents(root: Path) -> list[CheckResult]:
    """Compare every recorded file and every object of the cache with its hash; all bytes are read."""
    from genarm.data.dvc_content import Contents, damaged_objects
    from genarm.data.dvc_lock import read_records
    from genarm.pipeline.verify import shown, way_out, way_out_of_object

    if held(Layout(root).lock) or _is_writing(root):
        return [warn("contents", "not compared: a run or a DVC command is writing", "wait for it to end")]
    try:
        records, found = read_records(root), Contents(root)
    except GenarmError as error:
        return [fail("contents", error.message, error.hint)]
    if records is None:
        return [warn("contents", "nothing to compare with: there is no dvc.lock yet", "genarm run")]
    damages = [damage for damage in found.damaged(records.outputs) if damage.found]
    results = [fail("contents", shown(damage), way_out(root, damage)) for damage in damages]
    named = {damage.object for damage in damages}
    for path, now in damaged_objects(found.cache):
        if (told := found.shown(path)) not in named:
            fix = way_out_of_object(root, told, list(found.holders(records.outputs, path)))
            results.append(fail("contents", f"the cache object {told} is damaged: it has {now}", fix))
    whole = f"{len(records.outputs)} recorded files and folders, and the cache, are whole"
    return results or [ok("contents", whole)]


def _is_writing(root: Path) -> bool:
    """Whether a DVC command that still runs holds the outputs of a stage."""
    try:
        noted = json.loads((root / ".dvc" / "tmp" / "rwlock").read_text(encoding="utf-8"))
        for writer in noted.get("write", {}).values():
            os.kill(writer["pid"], 0)
            return True
    except (OSError, ValueError):  # nothing is noted, or by a process that was killed
        pass
    return False


def git(root: Path) -> list[CheckResult]:
    """Check that there is a commit for the lineage to name, and that the files are those of the commit."""
    from genarm.pipeline.preflight.origin import origin
    from genarm.pipeline.project import Project

    return origin(Project(root))

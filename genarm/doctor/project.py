"""The project's folder: parameters, base model, data version, git, locks, champions, room to write."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from genarm import models
from genarm.config import Params, load_params
from genarm.doctor.finding import Finding, fail, ok, warn
from genarm.errors import ConfigError, DataError, GenarmError, ModelError
from genarm.system.files import read_json
from genarm.system.layout import Layout
from genarm.types import Champion

GIB = 1 << 30


def parameters(root: Path) -> list[Finding]:
    """Whether params.yaml holds what the pipeline reads, and nothing else."""
    try:
        params = load_params(Layout(root).params)
    except ConfigError as error:
        return [fail("params.yaml", error.message, "git diff params.yaml")]
    return [ok("params.yaml", f"valid; dimensions: {', '.join(params.dimensions)}")]


def base_model(root: Path) -> list[Finding]:
    """Where the base model is, or where it would come from."""
    try:
        base = load_params(Layout(root).params).base
    except ConfigError:
        return []  # reported by the check of params.yaml
    path = Path(base.model).expanduser()
    try:
        if base.model == models.EMBEDDED or path.suffix == ".gguf":
            return [_gguf(base.model, models.embedded_file() if base.model == models.EMBEDDED else path)]
    except ModelError as error:
        return [fail("base model", error.message, error.hint)]
    if path.is_dir():
        return [ok("base model", f"{path}: {_gib(_size(path))}")]
    if path.is_absolute() or base.model.startswith((".", "~")) or base.model.count("/") != 1:
        mend = f"set base.model: {models.EMBEDDED} in params.yaml, or a folder that exists, or owner/name"
        return [fail("base model", f"{base.model!r} is no folder, no GGUF file and no hub id", mend)]
    return [_hub(base.model, base.revision)]


def _gguf(name: str, file: Path) -> Finding:
    if not file.is_file():
        return fail("base model", f"no GGUF file at {file}", "set base.model in params.yaml")
    folder = models.conversion(file)
    if folder.is_dir():
        return ok("base model", f"{name}, converted in {folder}: {_gib(_size(folder))}")
    free, needed = _free(models.cache_folder()), 4 * file.stat().st_size  # 4 bits a weight become 16
    if free < needed:
        detail = f"{name} is not converted yet; that takes {_gib(needed)}, {_gib(free)} are free there"
        return fail("base model", detail, "export GENARM_CACHE=<a folder on a larger disk>")
    return ok("base model", f"{name}, installed; the first run converts it ({_gib(free)} free)")


def _hub(name: str, revision: str | None) -> Finding:
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    snapshots = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    if snapshots.is_dir():
        return ok("base model", f"{name} in {snapshots.parent}")
    fetch = f"hf download {name}" + (f" --revision {revision}" if revision else "")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        detail = f"{name} is not in the local cache and HF_HUB_OFFLINE is set"
        return fail("base model", detail, f"HF_HUB_OFFLINE=0 {fetch}")
    return warn("base model", f"{name} is not in the local cache: the first run downloads it", fetch)


def data_version(root: Path) -> list[Finding]:
    """The files DVC needs, the data version they name, and whether something holds DVC's locks."""
    for name in ("dvc.yaml", "data.dvc", ".dvc/config"):
        if not (root / name).exists():
            return [fail("dvc", f"{name} is missing", f"git restore {name}")]
    from genarm.data.dvc import data_version as version

    digest = version(root)
    if not digest:
        return [fail("dvc", "data.dvc names no hash: it was not written to its end", "git restore data.dvc")]
    if held(root / ".dvc" / "tmp" / "lock"):
        return [
            warn(
                "dvc",
                "another DVC command holds the repository",
                "wait for it, or: dvc --wait-for-lock repro",
            )
        ]
    try:
        json.loads((root / ".dvc" / "tmp" / "rwlock").read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        pass
    except json.JSONDecodeError:
        return [
            fail("dvc", "the file .dvc/tmp/rwlock is damaged: every stage would refuse", "rm .dvc/tmp/rwlock")
        ]
    if not Layout(root).data.is_dir():
        return [warn("dvc", f"data version {digest[:12]} is not in data/ yet", "dvc repro data.dvc")]
    return [ok("dvc", f"data version {digest[:12]}, no lock held")]


def dvc_status(root: Path) -> list[Finding]:
    """What a run would do; asks DVC, which takes seconds."""
    from genarm.pipeline.plan import plan
    from genarm.pipeline.project import Project

    try:
        changed = [step.stage for step in plan(Project(root)) if step.runs]
    except GenarmError as error:
        return [fail("dvc status", error.message, error.hint or "dvc doctor")]
    if changed:
        return [warn("dvc status", f"{len(changed)} to run: {', '.join(changed[:6])}", "genarm run")]
    return [ok("dvc status", "everything is up to date")]


def git(root: Path) -> list[Finding]:
    """The commit that the lineage would name."""
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


def running(root: Path) -> list[Finding]:
    """Whether a run is going on; a lock file that nobody holds is harmless."""
    lock = Layout(root).lock
    if held(lock):
        return [warn("run lock", f"another run holds {lock.relative_to(root)}", "wait for it, or stop it")]
    return [ok("run lock", "free" + (", left by an earlier run" if lock.exists() else ""))]


def champions(root: Path) -> list[Finding]:
    """The snapshot of the champion aliases that the stages are judged against."""
    try:
        entries = read_json(Layout(root).champions, dict[str, Champion | None])
    except DataError as error:
        return [
            fail("champions", error.message, "git restore mlflow/champions.json && genarm registry reconcile")
        ]
    params = _params(root)
    strangers = [d for d in entries if params and d not in params.dimensions]
    missing = [d for d in (params.dimensions if params else ()) if d not in entries]
    if strangers or missing:
        which = (
            f"no entry for {missing[0]!r}" if missing else f"{strangers[0]!r} is no dimension of params.yaml"
        )
        return [warn("champions", f"mlflow/champions.json: {which}", "genarm registry reconcile")]
    told = ", ".join(f"{d} {f'version {c.version}' if c else 'none yet'}" for d, c in entries.items())
    return [ok("champions", told or "none yet")]


def room(root: Path) -> list[Finding]:
    """Free space and write permission where the pipeline writes."""
    artifacts = Layout(root).artifacts
    for folder in (root, artifacts, root / "mlflow", root / ".dvc", root / ".cache"):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            return [fail("disk", f"{folder} cannot be written to", f"chmod u+wx {folder}")]
    free, used = _free(root), _size(artifacts)
    detail = f"artifacts/ holds {_gib(used)}, {_gib(free)} free"
    mend = "dvc gc --workspace"
    if free < GIB:
        return [fail("disk", detail, mend)]
    return [warn("disk", detail, mend) if free < 5 * GIB else ok("disk", detail)]


def held(path: Path) -> bool:
    """Whether a process holds the file lock at `path`. The lock itself is what counts, not the file."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _params(root: Path) -> Params | None:
    try:
        return load_params(Layout(root).params)
    except ConfigError:
        return None


def _free(folder: Path) -> int:
    """Free bytes where `folder` is, or would be."""
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free


def _size(folder: Path) -> int:
    return sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file())


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"

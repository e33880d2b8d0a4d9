"""Objects of DVC's cache that nothing needs: no file of the project, no commit that counts, no version.

What a commit needs is read from its `dvc.lock` and `*.dvc` as text: every md5 in them counts, whatever it
is of. `dvc gc` keeps by commits too, but knows neither the versions of the registry nor the age of an object.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from genarm.data.dvc_content import Contents
from genarm.data.dvc_lock import FOLDER
from genarm.errors import Busy, PipelineError
from genarm.pipeline.lineage import git

MD5 = re.compile(r"\b[0-9a-f]{32}(?:\.dir)?\b")
RECORDS = (":(glob)**/dvc.lock", ":(glob)**/*.dvc")
LOCK_SECONDS = 5.0
WAY_OUT = "wait for it to end, or stop it"


@dataclass(frozen=True, slots=True)
class CacheFile:
    """An object of the cache, or an entry of the run cache."""

    path: Path
    bytes: int
    changed: float  # seconds since the epoch


def cache_of(root: Path) -> Path | None:
    """DVC's cache of a project, None where it lies outside: other projects may share it then."""
    if not (root / ".dvc").is_dir():
        return None
    place = Contents(root).cache.resolve()
    return place if place.is_relative_to(root.resolve()) else None


def cache_files(cache: Path) -> list[CacheFile]:
    """Every object and every entry of the run cache."""
    found = []
    for path in sorted(cache.rglob("*")):
        if path.is_file() and not path.is_symlink():
            told = path.stat()
            found.append(CacheFile(path, told.st_size, told.st_mtime))
    return found


def unused(root: Path, cache: Path, needed: Iterable[str], since: float) -> list[CacheFile]:
    """What may go: what is older than `since`, and neither needed nor part of a folder that is.

    `needed` are md5s, those of folders ending in `.dir`. An old entry of the run cache goes with the objects
    that it would restore; a young one keeps them.
    """
    files, objects, entries = cache_files(cache), list[CacheFile](), list[CacheFile]()
    for file in files:
        (entries if file.path.is_relative_to(cache / "runs") else objects).append(file)
    kept = set(needed)
    for entry in entries:
        if entry.changed >= since:
            kept |= _md5s(entry.path)
    for md5 in [md5 for md5 in kept if md5.endswith(FOLDER)]:
        for listed in (cache / "files" / "md5" / md5[:2] / md5[2:], cache / md5[:2] / md5[2:]):
            if listed.is_file():
                kept |= _listed(root, listed)
    old = [file for file in objects if file.changed < since and name_of(file.path) not in kept]
    gone = {name_of(file.path) for file in old}
    return [*old, *(e for e in entries if e.changed < since and _md5s(e.path) & gone)]


def name_of(path: Path) -> str:
    """The md5 that an object of the cache is called by."""
    return path.parent.name + path.name


def recorded_now(root: Path) -> set[str]:
    """Every md5 in the records of the working tree, those of a change that was cut short included."""
    listed = git(root, "ls-files", "-z", "-c", "-o", "--exclude-standard", "--", *RECORDS).split("\0")
    cut_short = (root / ".cache" / "data").rglob("data.dvc")
    paths = {root / name for name in listed if name} | {root / "dvc.lock", root / "data.dvc"} | set(cut_short)
    return set().union(*(_md5s(path) for path in paths))


def recorded_in(root: Path, commits: Iterable[str]) -> tuple[set[str], set[str]]:
    """Every md5 in the records of some commits, and the commits that this clone does not have."""
    blobs, absent = set[str](), set[str]()
    for commit in commits:
        tree = git(root, "ls-tree", "-r", "-z", commit, "--", ".")
        if not tree and not git(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"):
            absent.add(commit)
        for entry in filter(None, tree.split("\0")):
            about, _, name = entry.partition("\t")
            if name.endswith((".dvc", "dvc.lock")):
                blobs.add(about.split()[2])
    found = (MD5.findall(git(root, "cat-file", "blob", blob)) for blob in blobs)
    return {md5 for of_blob in found for md5 in of_blob}, absent


def commits(root: Path, days: int) -> set[str]:
    """The commits that count: the tip of every branch and tag, and all of the last days."""
    refs = git(root, "for-each-ref", "--format=%(objectname)")
    recent = git(root, "rev-list", "--all", "HEAD", f"--since={days}.days")
    return {*refs.split(), *recent.split(), *git(root, "rev-parse", "--verify", "--quiet", "HEAD").split()}


@contextmanager
def dvc_alone(root: Path) -> Iterator[None]:
    """Keep DVC from writing its cache meanwhile. Raises Busy where a DVC command is at work."""
    folder = root / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=LOCK_SECONDS):  # DVC locks the same file the same way
            if at_work := _at_work(folder / "rwlock"):
                raise Busy(f"a DVC command is at work: {at_work}", hint=WAY_OUT)
            yield
    except Timeout:
        raise Busy("a DVC command holds the lock of the project", hint=WAY_OUT) from None


def _at_work(path: Path) -> str:
    """The command of a living process that DVC notes as using a path; DVC lets go of its lock meanwhile."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return ""
    users = [*noted.get("write", {}).values(), *(u for us in noted.get("read", {}).values() for u in us)]
    living = [user for user in users if psutil.pid_exists(int(user["pid"]))]
    return f"process {living[0]['pid']}, {living[0]['cmd']}" if living else ""


def _md5s(path: Path) -> set[str]:
    return set(MD5.findall(path.read_text(encoding="utf-8"))) if path.is_file() else set()


def _listed(root: Path, path: Path) -> set[str]:
    try:
        return {entry["md5"] for entry in json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, KeyError, TypeError):
        raise PipelineError(
            f"{path.relative_to(root.resolve())} is damaged: which files are of its folder is not known",
            hint="genarm doctor --deep names the damage and its cure",
        ) from None

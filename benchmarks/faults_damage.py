"""A flipped byte, a cut, or an empty file, in every kind of file: told with a way out, or healed; never used.

A project that has measured its challenger but not promoted it is put back for each trial, one of its files is
damaged, and it is run again: it must end as the run that nobody harmed, or say which file is wrong. Half of
the damages keep the time of the file, as a failing disk does. Then the stages that read a file are typed by
hand, without DVC in front of them.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from faults_campaign import Campaign
from faults_child import typed
from faults_counts import Counts
from faults_project import DIMENSION, RUN_SECONDS, Ended, genarm
from faults_reference import MEASURED, decisions, outcome
from faults_state import Facts, Kept
from ruamel.yaml import YAML

COMMAND_SECONDS = 60.0
RUNS, QUICK_RUNS, QUICK_BY_HAND = 55, 1, 6  # whole runs, at first one for each kind of file; by hand
EDITED = ("params.yaml", "dvc.yaml", "toy_scorers.py")  # what a person writes is what is meant
IGNORED = (".git/", ".prefect/", ".cache/", ".dvc/tmp/", "__pycache__")
BY_HAND = {  # file below artifacts/ -> commands that read it
    f"pairs/{DIMENSION}/train.jsonl": [("train", DIMENSION)],
    "prompts.jsonl": [("respond", "base"), ("judge", DIMENSION)],
    f"arms/{DIMENSION}/arm.json": [("respond", "challenger", DIMENSION), ("report",)],
    f"arms/{DIMENSION}/adapter_config.json": [("respond", "challenger", DIMENSION)],
    f"arms/{DIMENSION}/adapter_model.safetensors": [("respond", "challenger", DIMENSION), ("decide",)],
    f"tune/{DIMENSION}/tuned.json": [("respond", "challenger", DIMENSION), ("decide",), ("report",)],
    f"train/{DIMENSION}/curves.csv": [("report",)],
    f"train/{DIMENSION}/metrics.json": [("report",)],
    "responses/base.jsonl": [("judge", DIMENSION), ("decide",), ("report",)],
    f"responses/challenger/{DIMENSION}.jsonl": [("judge", DIMENSION), ("decide",)],
    f"verdicts/{DIMENSION}.jsonl": [("decide",), ("report",)],
    "scorecards.json": [("report",)],
    "decisions.json": [("report",), ("registry", "promote", DIMENSION)],
    "../mlflow/champions.json": [("decide",), ("registry", "check")],
    "../mlflow/mlflow.db": [("registry", "list"), ("registry", "promote", DIMENSION)],
    "../params.yaml": [("decide",), ("registry", "list"), ("plan",)],
    "../dvc.lock": [("plan",)],
    "../data.dvc": [("plan",), ("train", DIMENSION)],
}


@dataclass(frozen=True)
class Damage:
    """What is done to a file. `quiet` keeps its time, and where it is flipped its size."""

    kind: str  # flip, cut, empty, bytes
    quiet: bool

    @classmethod
    def draw(cls, rng: Random) -> "Damage":
        return cls(rng.choice(("flip", "flip", "flip", "cut", "empty", "bytes")), rng.random() < 0.5)

    def to(self, file: Path, rng: Random) -> str:
        """Damage it; what was done, in words."""
        stat, content = file.stat(), bytearray(file.read_bytes())
        at = rng.randrange(len(content)) if content else 0
        match self.kind if content else "bytes":
            case "flip":
                content[at] ^= 1 << rng.randrange(8)
            case "cut":
                del content[at:]
            case "empty":
                content.clear()
            case _:
                content[at:at] = b"\xff\xfe\x80"
        os.chmod(file, stat.st_mode | 0o200)
        file.write_bytes(content)
        os.chmod(file, stat.st_mode)
        if self.quiet:
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        return f"{self.kind} at byte {at}{', same time' if self.quiet else ''}"


def damage(campaign: Campaign) -> Counts:
    """Whole runs, then stages by hand."""
    counts = Counts()
    reference, server = campaign.reference, campaign.prefect.settings()
    project, kept, expected = reference.root, reference.kept, reference.outcome
    kept.put_back(MEASURED)
    for file, gone in _files(campaign, project):
        kept.put_back(MEASURED)
        with _put_back(file):
            done = Damage.draw(campaign.random)
            what = f"{_name(campaign, file)}, {done.to(file, campaign.random)}"
            for copy in gone:
                copy.unlink()
            counts.tried += 1
            ended = genarm(project, "run", seconds=RUN_SECONDS, more=server)
            _judge(campaign, counts, project, ended, expected, f"{what}, then genarm run")
        campaign.advance(what)
    _by_hand(campaign, counts, kept, expected)
    return counts


def _files(campaign: Campaign, project: Path) -> Iterator[tuple[Path, list[Path]]]:
    """The files to be damaged; for an object of DVC's cache, with the workspace files that it restores."""
    inside = [
        file
        for file in sorted(project.rglob("*"))
        if file.is_file() and not any(part in f"{file.relative_to(project).as_posix()}/" for part in IGNORED)
    ]
    ours = [f for f in inside if f.name not in EDITED]
    every = ours + sorted(f for f in campaign.base.iterdir() if f.is_file())
    campaign.random.shuffle(every)
    seen: Counter[tuple[Path, str]] = Counter()
    rounds = []
    for file in every:
        kind = (file if ".dvc/cache" in file.as_posix() else file.parent, file.suffix)
        seen[kind] += 1
        rounds.append((seen[kind], file))  # the first of every kind, then the second
    drawn = [file for _, file in sorted(rounds, key=lambda turn: turn[0])]
    drawn = drawn[: QUICK_RUNS if campaign.quick else RUNS]
    hashes = {f: hashlib.md5(f.read_bytes(), usedforsecurity=False).hexdigest() for f in inside}
    for file in drawn:
        key = f"{file.parent.name}{file.name}".removesuffix(".dir")
        is_object = ".dvc/cache" in file.as_posix()
        yield file, [f for f, md5 in hashes.items() if is_object and md5 == key and f != file]


def _judge(
    campaign: Campaign, counts: Counts, project: Path, ended: Ended, expected: Facts, what: str
) -> None:
    """Right where it was told, or where all is as in the run that nobody harmed."""
    if campaign.failed(counts, ended, what) or ended.told:
        return
    try:
        found = outcome(project)
    except (SystemExit, OSError, ValueError) as error:
        counts.note("silent", f"{what}: exit code 0, and then: {str(error)[:300]}")
        return
    if differences := [key for key in expected if expected[key] != found[key]]:
        counts.note("silent", f"{what}: exit code 0, but other {', '.join(differences)} than without it")
    elif wrong := _not_as_locked(project):
        counts.note("silent", f"{what}: exit code 0, but {', '.join(wrong)} are not what dvc.lock says")


def _not_as_locked(project: Path) -> list[str]:
    """The outputs whose bytes are not those of dvc.lock."""

    def md5(file: Path) -> str:
        return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() if file.is_file() else ""

    wrong = []
    lock = YAML(typ="safe").load((project / "dvc.lock").read_text())["stages"]
    for out in (out for stage in lock.values() for out in stage.get("outs", [])):
        path, key = project / out["path"], out["md5"]
        if not key.endswith(".dir"):
            wrong += [out["path"]] if md5(path) != key else []
            continue
        listing = project / ".dvc" / "cache" / "files" / "md5" / key[:2] / key[2:]
        if md5(listing) != key.removesuffix(".dir"):
            wrong.append(f"the listing of {out['path']}")
            continue
        inner = json.loads(listing.read_text())
        wrong += [f"{out['path']}/{f['relpath']}" for f in inner if md5(path / f["relpath"]) != f["md5"]]
    return wrong


def _by_hand(campaign: Campaign, counts: Counts, kept: Kept, expected: Facts) -> None:
    """Each command that reads a file, right after it was damaged."""
    cases = [(file, words) for file, commands in BY_HAND.items() for words in commands]
    repeats = 1 if campaign.quick else 3
    drawn = campaign.random.sample(cases, QUICK_BY_HAND) if campaign.quick else cases
    for file, words in [case for case in drawn for _ in range(repeats)]:
        kept.put_back(MEASURED)
        path = (kept.root / "artifacts" / file).resolve()
        what = f"{_name(campaign, path)}, {Damage.draw(campaign.random).to(path, campaign.random)}"
        counts.tried += 1
        ended = typed(kept.root, *words, seconds=COMMAND_SECONDS)
        what += f", then genarm {' '.join(words)}"
        failed = campaign.failed(counts, ended, what)
        other = words == ("decide",) and ended.code == 0 and decisions(kept.root) != expected["decisions"]
        if not failed and other and path.name not in EDITED:
            counts.note("silent", f"{what}: another decision")
        campaign.advance(what)


def _name(campaign: Campaign, file: Path) -> str:
    return file.relative_to(campaign.folder).as_posix()


@contextmanager
def _put_back(file: Path) -> Iterator[None]:
    """A file outside the project as it was; the time, too."""
    content, stat = file.read_bytes(), file.stat()
    try:
        yield
    finally:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(content)
        os.chmod(file, stat.st_mode)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

"""DVC's commands: which data version is in place, how a stage is run, how data is replaced.

DVC is driven by its command line, so that it has its own log and its own signals, and can be stopped with all
that it started. `dvc_output` knows what its output means.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from genarm.data import dvc_output
from genarm.data.change import Change
from genarm.data.dvc_lock import POINTER, check_readable, is_import, named_version, read_records
from genarm.data.dvc_mend import kept_pointer
from genarm.data.dvc_output import StageOutcome
from genarm.data.files import check_imported
from genarm.data.own_files import require_none_only_here
from genarm.data.rows import SUFFIXES
from genarm.data.sources import HUB, gather_hub, gather_local
from genarm.errors import DataError, PipelineError
from genarm.system.process import OnLine, ignore, run
from genarm.system.progress import LINES
from genarm.system.redact import redact

__all__ = [
    "POINTER",
    "call",
    "data_version",
    "gather",
    "graph",
    "pull_data",
    "push",
    "run_stage",
    "run_stages",
    "set_data",
    "status",
]

OF_FILE = "dvc.yaml:"  # in the name of a stage of another file than the pipeline's own


def data_version(root: Path) -> str | None:
    """The md5 of what `data.dvc` points to, None where it points to nothing. No file is hashed.

    Raises DataError where the pointer cannot be read, such as after a merge.
    """
    return named_version(root)


def status(root: Path, stages: str = "") -> dict[str, Any]:
    """What `dvc repro` would find changed, by stage; empty where everything is up to date.

    `stages` is the file of an experiment's stages, whose names then begin with it; else the pipeline's own.
    Raises DataError where `dvc.lock` or `data.dvc` is damaged, PipelineError or Busy where DVC fails.
    """
    check_readable(root)
    done = subprocess.run(
        _command("status", "--json", *([stages] if stages else [])),
        cwd=root,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        read_records(root)  # names the entry that DVC does not take, and the way out
        raise dvc_output.failure("dvc status", [*done.stdout.splitlines(), *done.stderr.splitlines()])
    found = dict(json.loads(done.stdout or "{}"))
    return found if stages else {stage: how for stage, how in found.items() if OF_FILE not in stage}


def graph(root: Path) -> dict[str, list[str]]:
    """Every stage in an order in which it can run, with the stages right before it."""
    done = subprocess.run(
        _command("dag", "--dot"), cwd=root, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise dvc_output.failure("dvc dag", done.stderr.splitlines())
    found = dvc_output.graph(done.stdout)
    return {stage: before for stage, before in found.items() if OF_FILE not in stage}


def run_stage(root: Path, stage: str, on_line: OnLine = ignore) -> StageOutcome:
    """Reproduce one stage, by name or `data.dvc`, handing each line of its output to `on_line`.

    Raises PipelineError with the stage's own error, Busy where another DVC holds the lock. Whatever ends this
    process, an interrupt or a kill, ends the stage too.
    """
    if stage == POINTER:
        return pull_data(root, on_line)
    code, lines = call(root, "repro", "-s", stage, on_line=on_line)
    if code:
        raise dvc_output.failure(f"stage {stage}", lines)
    return dvc_output.outcome(lines)


def run_stages(root: Path, stages: str, on_line: OnLine = ignore) -> StageOutcome:
    """Reproduce all stages of a file, those first that others need; what fails leaves the others running.

    Raises PipelineError with the last error, Busy where another DVC holds the lock.
    """
    code, lines = call(root, "repro", "--keep-going", stages, on_line=on_line)
    if code:
        raise dvc_output.failure(stages, dvc_output.until_error(lines))
    return dvc_output.outcome(lines)


def pull_data(root: Path, on_line: OnLine = ignore) -> StageOutcome:
    """Put the data version in place: imported again where `data.dvc` names a source, else from the remote.

    Raises DataError where files of data/ would be lost, PipelineError where neither has it, Busy where
    another DVC holds the lock.
    """
    # DVC would take data/ that a killed pull left incomplete for a new version of added data, and record it.
    pulling = root / ".dvc" / "tmp" / "data.pulling"
    if is_import(root) or pulling.exists():  # else DVC records what was changed as a new version
        require_none_only_here(root)
    code, lines = (1, []) if pulling.exists() else _repeat_import(root, on_line)
    if pulling.exists() or (code and dvc_output.data_is_missing(lines)):
        pulling.touch()
        code, lines = call(root, "pull", "--force", POINTER, on_line=on_line)
        if not (code and (root / "data").exists()):
            pulling.unlink()
        if code:
            raise PipelineError(
                f"data version {(data_version(root) or '?')[:12]} is not in data/, and no DVC remote has it",
                hint="name the remote (dvc remote add -d NAME URL), or the source again: genarm data SOURCE",
            )
        return "restored"
    if code:
        raise dvc_output.failure(POINTER, lines)
    return dvc_output.outcome(lines)


def _repeat_import(root: Path, on_line: OnLine) -> tuple[int, list[str]]:
    with kept_pointer(root):
        return call(root, "repro", "-s", POINTER, on_line=on_line)


def push(root: Path, on_line: OnLine = ignore) -> str:
    """Send data, outputs and the run cache to DVC's default remote; returns what was sent in DVC's words.

    What the remote has already is not sent again, so a push that was cut short goes on where it was. Raises
    PipelineError where the remote takes nothing or the cache lacks a file, Unreachable where the remote does
    not answer, Busy where another DVC holds the lock.
    """
    code, lines = call(root, "push", "--run-cache", on_line=lambda line: on_line(redact(line)))
    if code or dvc_output.lacks_files(lines):
        raise dvc_output.push_failure(lines)
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def set_data(
    root: Path,
    source: str,
    check: Callable[[Path], object] = lambda folder: None,
    on_line: OnLine = ignore,
) -> str:
    """Make a source the data version, and return it: the same files give the same version from anywhere.

    `check` is called with the folder before it becomes data/, and refuses it by raising. `on_line` is told of
    an earlier change that was cut short, and is now completed or undone first.

    A folder that git tracks here is imported, so that any clone makes data/ from it (the embedded default).
    Every other source (a path, a glob, a URL, an object store, or hf://owner/name@revision) is gathered in a
    folder of its own, then added: `data.dvc` holds only the hashes, and a clone takes the files from the DVC
    remote. Where anything fails, the old data and the old `data.dvc` stay.

    Raises DataError for a source that cannot be used, Unreachable for one that does not answer, PipelineError
    or Busy where DVC fails, and whatever `check` raises.
    """
    change = Change(root)
    with change.alone():
        for line in change.mend():
            on_line(line)
        try:
            folder = _tracked_folder(root, source)
            if folder is None:
                change.new.mkdir(parents=True)
                gather(root, source, change.new)
            else:
                check_imported(root / folder)
            new = root / folder if folder else change.new
            check(new)
            require_none_only_here(root, [new])
            with change.begun():
                if folder is None:
                    change.new.rename(change.data)
                    _must(root, "add", "data")
                else:
                    _must(root, "import-url", folder, "data")
                    _must(root, "unfreeze", POINTER)
        finally:
            # Old data that could not be put back, as after a second interrupt, stays for the next command.
            if not change.was.exists():
                shutil.rmtree(change.folder, ignore_errors=True)
    version = data_version(root)
    assert version is not None, "DVC has just written it"
    return version


def gather(root: Path, source: str, folder: Path) -> None:
    """Copy or fetch a source into an empty folder; `root` is where DVC is started.

    Raises DataError where it holds no data file or cannot be used, Unreachable where it does not answer.
    """
    if source.startswith(HUB):
        gather_hub(source, folder)
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        _gather_url(root, source, folder)
    else:
        gather_local(source, folder)
    if not any(f.name.endswith(SUFFIXES) for f in folder.rglob("*")):
        raise DataError(f"{redact(source)} holds no data file", hint=f"known are {', '.join(SUFFIXES)}")


def _gather_url(root: Path, url: str, folder: Path) -> None:
    """A file, or below an object store a whole folder, through DVC and the credentials that it finds."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise DataError(
            f"{parts.scheme}://...{parts.path} carries a user name or password",
            hint="leave them to DVC or the environment: dvc remote modify --local, AWS_*, ~/.netrc",
        )
    name = Path(parts.path).name
    target = folder / name if name.endswith(SUFFIXES) else folder / "all"
    code, lines = call(root, "get-url", url, str(target))
    if code:
        raise dvc_output.fetch_failure(url, lines)
    if target.is_dir():
        for file in target.iterdir():
            file.rename(folder / file.name)
        target.rmdir()


def _tracked_folder(root: Path, source: str) -> str | None:
    """The source as a path below the root, where it is a folder whose files git tracks."""
    path = Path(source).expanduser().resolve()
    if not path.is_dir() or root.resolve() not in path.parents:
        return None
    tracked = subprocess.run(
        ["git", "ls-files", "--", path], cwd=root, capture_output=True, text=True, check=False
    )
    return path.relative_to(root.resolve()).as_posix() if tracked.stdout.strip() else None


def _must(root: Path, *arguments: str) -> None:
    code, lines = call(root, *arguments)
    if code:
        raise dvc_output.failure(f"dvc {arguments[0]}", lines)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1", LINES: "1"}


def call(root: Path, *arguments: str, on_line: OnLine = ignore, **environment: str) -> tuple[int, list[str]]:
    """Run a DVC command; its exit code and its lines. `environment` is set for what it starts."""

    def pass_on(line: str) -> None:
        if dvc_output.is_worth_logging(line):
            on_line(line)

    return run(_command(*arguments), root, _environment() | environment, pass_on)

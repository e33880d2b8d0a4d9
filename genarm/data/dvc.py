"""The only file that knows DVC: which data version is in place, how a stage is run, how data is replaced.

DVC is driven by its command line, so that it has its own log, its own signals, and can be stopped whole.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from genarm.data.rows import SUFFIXES
from genarm.data.sources import HUB, gather_hub, gather_local
from genarm.errors import Busy, DataError, PipelineError
from genarm.system.process import OnLine, ignore, run

StageOutcome = Literal["ran", "restored", "unchanged"]

POINTER = "data.dvc"
# What DVC tells a person at its prompt, and no reader of a log.
ADVICE = ("To track the changes", "git add", "To enable auto staging", "dvc config", "Use `dvc push`")


def data_version(root: Path) -> str | None:
    """The md5 of what `data.dvc` points to, None where it points to nothing; no file is hashed for it.

    Raises DataError where the pointer cannot be read, such as after a merge.
    """
    try:
        pointer = YAML(typ="safe").load((root / POINTER).read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return None
    except YAMLError:
        raise DataError(
            f"{POINTER} is not valid YAML", hint=f"take one side of a merge: git checkout --ours {POINTER}"
        ) from None
    outs = pointer.get("outs") or [{}]
    return str(outs[0].get("md5", "")).removesuffix(".dir") or None


def status(root: Path) -> dict[str, Any]:
    """What `dvc repro` would find changed, by stage; empty where all is in place."""
    done = subprocess.run(
        _command("status", "--json"),
        cwd=root,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise _failure("dvc status", done.stderr.splitlines())
    return dict(json.loads(done.stdout or "{}"))


def graph(root: Path) -> dict[str, list[str]]:
    """Every stage in an order in which it can run, with the stages right before it."""
    done = subprocess.run(
        _command("dag", "--dot"), cwd=root, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise _failure("dvc dag", done.stderr.splitlines())
    above: dict[str, list[str]] = {}
    for stage, after in re.findall(r'^"(.+?)"(?: -> "(.+?)")?;$', done.stdout, re.MULTILINE):
        above.setdefault(after or stage, [])
        if after:
            above[after].append(stage)
    return {stage: above[stage] for stage in TopologicalSorter(above).static_order()}


def run_stage(root: Path, stage: str, on_line: OnLine = ignore) -> StageOutcome:
    """Reproduce one stage, by name or `data.dvc`, handing each line of its output to `on_line`.

    Raises PipelineError with the stage's own error, Busy where another DVC holds the lock. Whatever ends this
    process, an interrupt or a kill, ends the stage too.
    """
    if stage == POINTER:
        return pull_data(root, on_line)
    code, lines = _run(root, "repro", "-s", stage, on_line=on_line)
    if code:
        raise _failure(f"stage {stage}", lines)
    return _outcome(lines)


def pull_data(root: Path, on_line: OnLine = ignore) -> StageOutcome:
    """Put the data version in place: imported again where `data.dvc` names a source, else from the remote."""
    code, lines = _run(root, "repro", "-s", POINTER, on_line=on_line)
    if code and any("missing data 'source'" in line for line in lines):
        code, lines = _run(root, "pull", POINTER, on_line=on_line)
        if code:
            raise PipelineError(
                f"data version {(data_version(root) or '?')[:12]} is not in data/, and no DVC remote has it",
                hint="name the remote (dvc remote add -d NAME URL), or the source again: genarm data SOURCE",
            )
        return "restored"
    if code:
        raise _failure(POINTER, lines)
    return _outcome(lines)


def set_data(root: Path, source: str, check: Callable[[Path], object] = lambda folder: None) -> str:
    """Make a source the data version, and return it: the same files give the same version from anywhere.

    `check` sees the folder before it becomes data/, and refuses it by raising.

    A folder that git tracks here is imported, so that any clone makes data/ from it (the embedded default).
    Every other source, a path, a glob, an URL or object store, or hf://owner/name@revision, is gathered
    beside, then added: `data.dvc` holds the hashes alone, and a clone takes the files from the DVC remote.
    Where anything fails, the old data and the old `data.dvc` stay.
    """
    scratch = root / ".cache" / f"data-{os.getpid()}"
    new, old = scratch / "new", scratch / "old"
    try:
        folder = _tracked_folder(root, source)
        if folder is None:
            new.mkdir(parents=True)
            _gather(root, source, new)
        check(root / folder if folder else new)
        with _put_back_on_failure(root, old):
            if folder is None:
                new.rename(root / "data")
                _must(root, "add", "data")
            else:
                _must(root, "import-url", folder, "data")
                _must(root, "unfreeze", POINTER)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        # Old data that could not be put back, as after a second interrupt, stays where it is.
        if not old.exists():
            shutil.rmtree(scratch, ignore_errors=True)
    version = data_version(root)
    assert version is not None, "DVC has just written it"
    return version


def _gather(root: Path, source: str, folder: Path) -> None:
    if source.startswith(HUB):
        gather_hub(source, folder)
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        _gather_url(root, source, folder)
    else:
        gather_local(source, folder)
    if not any(f.name.endswith(SUFFIXES) for f in folder.rglob("*")):
        raise DataError(f"{_shown(source)} holds no data file", hint=f"known are {', '.join(SUFFIXES)}")


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
    code, lines = _run(root, "get-url", url, str(target))
    if code:
        said = " ".join(line for line in lines if line.startswith("ERROR"))
        extra = re.search(r"requires '(dvc-\w+)'", said)
        reason = "nothing there, or no answer" if "does not exist" in said else _shown(said)
        raise DataError(
            f"cannot fetch {_shown(url)}: {reason}",
            hint=f"pip install {extra[1]}" if extra else "check the address and the access to it",
        )
    if target.is_dir():
        for file in target.iterdir():
            file.rename(folder / file.name)
        target.rmdir()


def _tracked_folder(root: Path, source: str) -> str | None:
    """The source as a path below the root, where it is a folder whose files git tracks."""
    path = Path(source).expanduser().resolve()
    if not path.is_dir() or root.resolve() not in path.parents:
        return None
    found = subprocess.run(
        ["git", "ls-files", "--", path], cwd=root, capture_output=True, text=True, check=False
    )
    return path.relative_to(root.resolve()).as_posix() if found.stdout.strip() else None


@contextmanager
def _put_back_on_failure(root: Path, old: Path) -> Iterator[None]:
    """data/ and data.dvc out of the way; back again if what follows fails or is interrupted."""
    data, pointer = root / "data", root / POINTER
    text = pointer.read_bytes() if pointer.exists() else None
    old.parent.mkdir(parents=True, exist_ok=True)
    if data.exists():
        data.rename(old)
    # DVC would keep the dependencies, and the very order of keys, of a pointer that it finds.
    pointer.unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        if old.exists():
            old.rename(data)
        if text is not None:
            pointer.write_bytes(text)
        raise


def _must(root: Path, *arguments: str) -> None:
    code, lines = _run(root, *arguments)
    if code:
        raise _failure(f"dvc {arguments[0]}", lines)


def _outcome(lines: list[str]) -> StageOutcome:
    """What DVC 3 says of the stages it went through; of several, the one that did most."""
    if any(re.match(r"Running stage '|Importing '|Verifying data sources", line) for line in lines):
        return "ran"
    return "restored" if any("is cached - skipping run" in line for line in lines) else "unchanged"


def _failure(what: str, lines: list[str]) -> PipelineError | Busy:
    """DVC's output as one error: the stage's own words where it has any, else DVC's."""
    text = "\n".join(lines)
    if "Unable to acquire lock" in text or "it is being blocked by" in text:
        holder = re.search(r"\(PID \d+\)", text)
        return Busy(
            f"{what}: another DVC command holds the lock" + (f" {holder[0]}" if holder else ""),
            hint="wait for it to end, or stop it",
        )
    starts = [i for i, line in enumerate(lines) if line.startswith("> ")]
    own = [line for line in lines[starts[-1] + 1 :] if line.strip()] if starts else []
    said = [line for line in own if not line.startswith("ERROR: failed to reproduce")]
    errors = [i for i, line in enumerate(said) if line.startswith("error: ")]
    hint = next((line.removeprefix("hint: ") for line in reversed(said) if line.startswith("hint: ")), "")
    if errors:
        message = said[errors[-1]].removeprefix("error: ")
    else:
        last = said[-12:] or [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        message = _shown("\n".join(last) or "no output")
    return PipelineError(f"{what} failed: {message}", hint=hint)


def _shown(text: str) -> str:
    """Without the query of any URL: it may hold a signature."""
    return re.sub(r"(://[^\s'\"?]*)\?[^\s'\"]*", r"\1", text)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1"}


def _run(root: Path, *arguments: str, on_line: OnLine = ignore) -> tuple[int, list[str]]:
    def pass_on(line: str) -> None:
        no_champion_yet = line.startswith("WARNING") and line.rstrip().endswith("is empty.")
        if line.strip() and not line.strip().startswith(ADVICE) and not no_champion_yet:
            on_line(line)

    return run(_command(*arguments), root, _environment(), pass_on)

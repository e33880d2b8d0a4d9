"""DVC's part of a stage that runs on another machine: what it needs goes through the remote, and so does
what it made. The run cache says what a stage made of which inputs, so `dvc.lock` becomes what it would be if
the stage had run here.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from genarm.data import dvc, dvc_output
from genarm.data.dvc_output import StageOutcome
from genarm.errors import PipelineError, Unreachable
from genarm.system.process import OnLine, ignore
from genarm.system.redact import redact

RESTORE_ONLY = "GENARM_RESTORE_ONLY"  # in the environment of a stage: it may be restored, and is not to run
NOT_HERE = "this stage would have to run, and was only to be restored"
AGAIN = "then: genarm run"
BEGUN = ("Running stage '", dvc_output.COMMAND, dvc_output.NOT_REPRODUCED)  # starts of lines


def refuse_to_run() -> None:
    """Raise PipelineError in a stage that DVC started although it was only to restore it."""
    if RESTORE_ONLY in os.environ:
        raise PipelineError(NOT_HERE, hint=f"unset {RESTORE_ONLY}")


def restore(
    root: Path, stage: str, on_line: OnLine = ignore, *, from_remote: Sequence[str] = ()
) -> StageOutcome | None:
    """Put in place what a stage made of its inputs before; None where it would have to run: it does not.

    `from_remote` names the stages before it, if its run cache and files are to be fetched from the remote
    first. Raises PipelineError where DVC fails, Unreachable where the remote does not answer, Busy where
    another DVC holds the lock.
    """
    pull: tuple[str, ...] = ()
    if from_remote:
        _ask_remote(root, "fetch", "--run-cache", *from_remote, on_line=on_line)
        pull = ("--pull",)

    def pass_on(line: str) -> None:
        if NOT_HERE not in line and RESTORE_ONLY not in line and not line.startswith(BEGUN):  # it has not
            on_line(line)

    code, lines = dvc.call(root, "repro", "-s", *pull, stage, on_line=pass_on, **{RESTORE_ONLY: "1"})
    if code and any(NOT_HERE in line for line in lines):
        return None
    if code:
        raise dvc_output.failure(f"stage {stage}", lines)
    return dvc_output.outcome(lines)


def take(root: Path, stages: Sequence[str], on_line: OnLine = ignore) -> None:
    """Put in place what stages made, as `dvc.lock` records it, from the remote. Raises as `restore` does."""
    if stages:
        _ask_remote(root, "pull", "--force", *stages, on_line=on_line)


def send(root: Path, stages: Sequence[str], on_line: OnLine = ignore) -> None:
    """Bring what stages made, and the run cache, to the remote. Raises as `genarm.data.dvc.push` does."""
    code, lines = dvc.call(root, "push", "--run-cache", *stages, on_line=on_line)
    if code or dvc_output.lacks_files(lines):
        raise dvc_output.push_failure(lines, AGAIN)


def _ask_remote(root: Path, command: str, *arguments: str, on_line: OnLine) -> None:
    code, lines = dvc.call(root, command, *arguments, on_line=on_line)
    if not code:
        return
    told = "; ".join(line.removeprefix(dvc_output.ERROR) for line in lines if dvc_output.ERROR in line)
    error = Unreachable if dvc_output.NO_ANSWER.search(told) else PipelineError
    if any(phrase in line for line in lines for phrase in dvc_output.LOCKED):
        raise dvc_output.failure(f"dvc {command}", lines)
    raise error(
        f"dvc {command}: the remote does not give what {', '.join(arguments[1:])} made: "
        f"{redact(told) or 'no output'}",
        hint=f"dvc {' '.join((command, *arguments))} shows it by hand; check the remote: dvc remote list; "
        + AGAIN,
    )

"""What DVC's output means. Its commands report outcomes and errors only as text, which is read here alone.

The phrases are those of DVC 3; a test gets each of them from the real DVC.
"""

import re
from collections.abc import Sequence
from graphlib import TopologicalSorter
from typing import Literal

from genarm.errors import Busy, DataError, GenarmError, PipelineError, Unreachable
from genarm.system.progress import PROGRESS
from genarm.system.redact import redact

StageOutcome = Literal["ran", "restored", "unchanged"]

RAN = ("Running stage '", "Importing '", "Verifying data sources")  # starts of lines
RESTORED = "is cached - skipping run"
LOCKED = ("Unable to acquire lock", "it is being blocked by")
DATA_MISSING = "missing data 'source'"
NOTHING_THERE = "does not exist"
COMMAND = "> "  # before the command of a stage
ERROR = "ERROR: "
NOT_REPRODUCED = "ERROR: failed to reproduce"
# Advice for someone at a prompt, of no use in a log.
ADVICE = ("To track the changes", "git add", "To enable auto staging", "dvc config", "Use `dvc push`")
EMPTY_FILE = "is empty."  # a warning, as of the responses of a champion while there is none

NOT_IN_CACHE = "Missing cache files"
NO_REMOTE = "no remote specified"
NO_ANSWER = re.compile(
    r"cannot connect|connection (?:refused|reset)|timed? ?out|could not resolve", re.IGNORECASE
)

LAST_LINES = 12  # of a stage's own output, quoted where it names no error


def outcome(lines: Sequence[str]) -> StageOutcome:
    """What DVC did to the stages it went through; of several, the outcome of the one that changed most."""
    if any(line.startswith(RAN) for line in lines):
        return "ran"
    return "restored" if any(RESTORED in line for line in lines) else "unchanged"


def failure(what: str, lines: Sequence[str]) -> PipelineError | Busy:
    """The output of a failed command as one error: in the stage's own words where it has any, else DVC's."""
    text = "\n".join(lines)
    if any(phrase in text for phrase in LOCKED):
        holder = re.search(r"\(PID \d+\)", text)
        return Busy(
            f"{what}: another DVC command holds the lock" + (f" {holder[0]}" if holder else ""),
            hint="wait for it to end, or stop it",
        )
    stage_lines = _stage_lines(lines)
    errors = [line for line in stage_lines if line.startswith("error: ")]
    hints = [line for line in stage_lines if line.startswith("hint: ")]
    if errors:
        message = errors[-1].removeprefix("error: ")
    else:
        verdict = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
        # Of a file of its own that it cannot read, DVC speaks without the word.
        quoted = stage_lines[-LAST_LINES:] or verdict or [line for line in lines if line.strip()]
        message = redact("\n".join(quoted) or "no output")
    return PipelineError(f"{what} failed: {message}", hint=hints[-1].removeprefix("hint: ") if hints else "")


def until_error(lines: Sequence[str]) -> Sequence[str]:
    """The lines up to the last error of a stage and its hint: others may have run after it."""
    ends = [i for i, line in enumerate(lines) if line.startswith("error: ")]
    return lines[: ends[-1] + 2] if ends else lines


def fetch_failure(url: str, lines: Sequence[str]) -> DataError:
    """The output of a failed `dvc get-url` as an error that quotes no credentials."""
    errors = " ".join(line for line in lines if line.startswith(ERROR))
    extra = re.search(r"requires '(dvc-\w+)'", errors)
    reason = "nothing there, or no answer" if NOTHING_THERE in errors else redact(errors)
    return DataError(
        f"cannot fetch {redact(url)}: {reason}",
        hint=f"pip install {extra[1]}" if extra else "check the address and the access to it",
    )


def lacks_files(lines: Sequence[str]) -> bool:
    """Whether a push left out files that neither the cache nor the remote has: DVC only warns of them."""
    return any(NOT_IN_CACHE in line for line in lines)


def push_failure(lines: Sequence[str], then: str = "then: genarm publish") -> GenarmError:
    """The output of a `dvc push` that failed or left something out, as an error without credentials.

    `then` is what to type once it is mended.
    """
    errors = [redact(line.removeprefix(ERROR)) for line in lines if line.startswith(ERROR)]
    told, again = "; ".join(errors[-2:]), f"nothing is lost; {then}"
    extra = re.search(r"requires '(dvc-\w+)'", told)
    if any(phrase in line for line in lines for phrase in LOCKED):
        return failure("dvc push", lines)
    if not errors and lacks_files(lines):
        return PipelineError(
            "dvc push: the cache lacks files that dvc.lock or data.dvc names, so nobody could pull them",
            hint="make them again: genarm run; or where they lie in the project: dvc commit; " + again,
        )
    if NO_REMOTE in told:
        return PipelineError(
            "dvc push: the project names no default remote", hint="dvc remote add -d NAME URL; " + again
        )
    if extra:
        return PipelineError(f"dvc push failed: {told}", hint=f"pip install {extra[1]}; {again}")
    if NO_ANSWER.search(told):
        return Unreachable(f"dvc push: the remote does not answer: {told}", hint=again)
    return PipelineError(
        f"dvc push failed: {told or 'no output'}",
        hint=f"check the remote's address and your right to write to it (dvc remote list); {again}",
    )


def data_is_missing(lines: Sequence[str]) -> bool:
    """Whether a command failed because added data is neither in place nor in the cache."""
    return any(DATA_MISSING in line for line in lines)


def is_worth_logging(line: str) -> bool:
    """Whether a line says something about the run: no blank line, no advice, no note of an empty file."""
    text = line.strip()
    is_empty_file = text.startswith("WARNING") and text.endswith(EMPTY_FILE)
    return bool(text) and not text.startswith(ADVICE) and not is_empty_file


def graph(dot: str) -> dict[str, list[str]]:
    """The output of `dvc dag --dot`: every stage, in an order in which they can run, with those before it."""
    before: dict[str, list[str]] = {}
    for stage, after in re.findall(r'^"(.+?)"(?: -> "(.+?)")?;$', dot, re.MULTILINE):
        before.setdefault(after or stage, [])
        if after:
            before[after].append(stage)
    return {stage: before[stage] for stage in TopologicalSorter(before).static_order()}


def _stage_lines(lines: Sequence[str]) -> list[str]:
    """The lines of the last stage's own command, without DVC's verdict after them."""
    starts = [i for i, line in enumerate(lines) if line.startswith(COMMAND)]
    after = lines[starts[-1] + 1 :] if starts else []
    return [line for line in after if line.strip() and not line.startswith((NOT_REPRODUCED, PROGRESS))]

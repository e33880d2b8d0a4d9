"""The result of one check: ok, warn or fail, what was found, and the command that fixes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from genarm.errors import GenarmError, PipelineError


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the examination. `fix` is empty where nothing needs mending."""

    check: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


def ok(check: str, detail: str) -> CheckResult:
    """Nothing needs to be done."""
    return CheckResult(check, "ok", detail)


def warn(check: str, detail: str, fix: str) -> CheckResult:
    """It works, but not as it should."""
    return CheckResult(check, "warn", detail, fix)


def fail(check: str, detail: str, fix: str) -> CheckResult:
    """Something that a run needs does not work."""
    return CheckResult(check, "fail", detail, fix)


def in_one(failed: Sequence[CheckResult], kind: type[GenarmError] = PipelineError) -> GenarmError:
    """One error of all that failed, numbered where there are several; so are the ways out."""
    if len(failed) == 1:
        return kind(failed[0].detail, hint=failed[0].fix)
    details = "; ".join(f"({i}) {r.detail}" for i, r in enumerate(failed, start=1))
    fixes = "; ".join(f"({i}) {r.fix}" for i, r in enumerate(failed, start=1))
    return kind(f"{len(failed)} things are wrong: {details}", hint=fixes)

"""The result of one check: ok, warn or fail, what was found, and the command that fixes it."""

from dataclasses import dataclass
from typing import Literal


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

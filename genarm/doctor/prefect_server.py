"""Prefect: which server the flows would use, and where it keeps its database. Prefect is not imported."""

import os
import tomllib
from pathlib import Path

from genarm.doctor.disk import existing, writable
from genarm.doctor.http_get import compare_versions, get
from genarm.doctor.result import CheckResult, fail, ok, warn
from genarm.errors import Unreachable
from genarm.system.redact import redact

STARTUP = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"


def prefect(root: Path) -> list[CheckResult]:
    """Check which server the flows would use, whether it answers, and whether it has our version."""
    uri = os.environ.get("PREFECT_API_URL") or _profile().get("PREFECT_API_URL")
    if not uri:
        seconds = os.environ.get(STARTUP, "20")
        if not seconds.isdigit() or int(seconds) < 60:
            detail = f"a temporary server for each run, with {seconds} s to start: few on a small machine"
            return [warn("prefect", detail, f"export {STARTUP}=120")]
        return [ok("prefect", "a temporary server for each run; schedules need: prefect server start")]
    bearer, login = os.environ.get("PREFECT_API_KEY"), os.environ.get("PREFECT_API_AUTH_STRING")
    try:
        health, _ = get(uri, "/health", bearer=bearer, login=login)
        status, version = get(uri, "/admin/version", bearer=bearer, login=login)
    except Unreachable as error:
        return [fail("prefect", error.message, "prefect server start, or: unset PREFECT_API_URL")]
    if health != 200:
        fix = "set PREFECT_API_URL to an address that ends in /api"
        return [fail("prefect", f"{redact(uri)}/health answers {health}", fix)]
    if status != 200:
        return [ok("prefect", f"{redact(uri)} answers; it does not report its version")]
    return [compare_versions("prefect", redact(uri), version.strip().strip('"'))]


def prefect_home(root: Path) -> list[CheckResult]:
    """Check where Prefect keeps its database: two projects that share one see each other's runs."""
    home = _home()
    if not writable(existing(home)):
        fix = f"chmod u+wx {existing(home)}"
        return [fail("prefect home", f"{home} cannot be written to", fix)]
    if root not in home.parents:
        fix = f"export PREFECT_HOME={root / '.prefect'}"
        return [warn("prefect home", f"{home} is outside the project, and shared with others", fix)]
    return [ok("prefect home", str(home))]


def _home() -> Path:
    return Path(os.environ.get("PREFECT_HOME", Path.home() / ".prefect")).expanduser()


def _profile() -> dict[str, str]:
    """The settings of Prefect's active profile; empty where there is none."""
    try:
        content = tomllib.loads((_home() / "profiles.toml").read_text(encoding="utf-8"))
        settings = content["profiles"][os.environ.get("PREFECT_PROFILE") or content["active"]]
    except (FileNotFoundError, KeyError, tomllib.TOMLDecodeError):
        return {}
    return {name: str(value) for name, value in settings.items()}

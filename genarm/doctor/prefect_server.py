"""Prefect: which server the flows would use, and where it keeps its database.

Prefect is not imported in this process.
"""

import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from genarm.doctor.disk import writable
from genarm.doctor.http_get import compare_versions, get
from genarm.errors import Unreachable
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.space import existing
from genarm.system.redact import redact

REINSTALL = "python -m pip install --upgrade genarm, or in a clone of it: make setup"
IMPORT_SERVER = """
try:
    import prefect.server.api.server
except Exception as error:
    print(type(error).__name__, *str(error).splitlines()[:2], sep=": ")
    raise
"""
STARTUP = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"


def prefect(root: Path) -> list[CheckResult]:
    """Check which server the flows would use, whether it answers, and whether it has our version."""
    uri = setting("PREFECT_API_URL")
    if not uri:
        seconds = os.environ.get(STARTUP, "20")
        if not seconds.isdigit() or int(seconds) < 60:
            detail = f"a temporary server for each run, with {seconds} s to start: few on a small machine"
            return [warn("prefect", detail, f"export {STARTUP}=120")]
        return [ok("prefect", "a temporary server for each run; schedules need: prefect server start")]
    bearer, login = os.environ.get("PREFECT_API_KEY"), os.environ.get("PREFECT_API_AUTH_STRING")
    try:
        health, answer = get(uri, "/health", bearer=bearer, login=login)
        status, version = get(uri, "/admin/version", bearer=bearer, login=login)
    except Unreachable as error:
        return [fail("prefect", error.message, f"prefect server start, or: {_unset('PREFECT_API_URL')}")]
    if health != 200:
        fix = "set PREFECT_API_URL to an address that ends in /api"
        return [fail("prefect", f"{redact(uri)}/health answers {health}", fix)]
    if answer.strip() != "true":
        fix = f"set PREFECT_API_URL to the address of one, or: {_unset('PREFECT_API_URL')}"
        return [fail("prefect", f"{redact(uri)} answers, but it is no Prefect server", fix)]
    if status != 200:
        return [ok("prefect", f"{redact(uri)} answers; it does not report its version")]
    return [compare_versions("prefect", redact(uri), version.strip().strip('"'))]


def prefect_home(root: Path) -> list[CheckResult]:
    """Check where Prefect keeps its database: two projects that share one see each other's runs."""
    folder = home()
    above, elsewhere = existing(folder), f"export PREFECT_HOME={root / '.prefect'}"
    if not above.is_dir():
        return [fail("prefect home", f"{folder} cannot be made: {above} is not a folder", elsewhere)]
    if not writable(above):
        return [fail("prefect home", f"{folder} cannot be written to", f"chmod u+wx {above}, or {elsewhere}")]
    if root not in folder.parents:
        detail = f"{folder} is outside the project, and shared with others"
        return [warn("prefect home", detail, elsewhere)]
    return [ok("prefect home", str(folder))]


def server_imports(root: Path) -> list[CheckResult]:
    """Import Prefect's server in a process of its own; other versions of its libraries may stop it."""
    command = [sys.executable, "-c", IMPORT_SERVER]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        cause = redact(done.stdout.strip() or f"exit code {done.returncode}")
        return [fail("prefect server", f"it does not import: {cause}", REINSTALL)]
    return [ok("prefect server", "imports")]


def home() -> Path:
    """The folder in which Prefect keeps profiles and database."""
    return Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()


def setting(name: str) -> str:
    """A setting of Prefect, from the environment or its active profile; empty where it is not set."""
    return os.environ.get(name) or _profile().get(name, "")


def _unset(name: str) -> str:
    """The command that removes a setting from where it is set."""
    if os.environ.get(name):
        return f"unset {name}"
    return f"PREFECT_HOME={shlex.quote(str(home()))} prefect config unset {name}"


def _profile() -> dict[str, str]:
    """The settings of Prefect's active profile; empty where there is none."""
    try:
        content = tomllib.loads((home() / "profiles.toml").read_text(encoding="utf-8"))
        settings = content["profiles"][os.environ.get("PREFECT_PROFILE") or content["active"]]
    except (OSError, KeyError, ValueError):  # no file, no such profile, or no TOML
        return {}
    return {name: str(value) for name, value in settings.items()}

"""PostgreSQL as a distribution installs it, with the extensions that Prefect needs; it asks for passwords."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "ofTheSuperuser1"


def programs() -> Path:
    """The folder of its programs; skips the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or not list(Path("/usr/share/postgresql").glob("*/extension/pg_trgm.control")):
        pytest.skip("needs PostgreSQL with its extensions: apt install postgresql")
    return found[-1].parent


@contextmanager
def whole_postgres() -> Iterator[Path]:
    """The folder of the socket of a new server; its superuser is postgres, with PASSWORD."""
    bin_, folder = programs(), Path(tempfile.mkdtemp(prefix="pg"))  # a socket's path is short
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    run = {"cwd": folder, "user": user, "check": True, "capture_output": True}
    made = ["initdb", "-D", "data", "-U", "postgres", "-A", "scram-sha-256", "--pwfile=password"]
    settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    try:
        subprocess.run([bin_ / made[0], *made[1:]], **run)  # type: ignore[call-overload]
        start = ["-D", "data", "-w", "-l", "log", "-o", settings, "start"]
        subprocess.run([bin_ / "pg_ctl", *start], **run)  # type: ignore[call-overload]
        try:
            yield folder
        finally:
            subprocess.run([bin_ / "pg_ctl", "-D", "data", "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
    finally:
        shutil.rmtree(folder, ignore_errors=True)

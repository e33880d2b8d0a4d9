"""What would stop the temporary server of Prefect is found in database, folder and proxies beforehand."""

import sqlite3
import subprocess
import sys

import pytest
from doctor_toys import one

from genarm.doctor import prefect_database as check
from genarm.doctor import prefect_server
from genarm.doctor.proxies import proxies

database = sys.modules["genarm.doctor.prefect_database"]
AS_NOBODY = """
import os
from pathlib import Path
from genarm.doctor import prefect_database
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
print(prefect_database(Path(".")))
"""


@pytest.fixture
def file(quiet, tmp_path):
    """The database of a project, with one table."""
    quiet.setenv("PREFECT_HOME", str(tmp_path))
    path = tmp_path / "prefect.db"
    with sqlite3.connect(path) as made:
        made.execute("create table alembic_version (version_num text)")
    made.close()
    return path


def revision(path, number: str) -> None:
    with sqlite3.connect(path) as made:
        made.execute("insert into alembic_version values (?)", [number])
    made.close()


def test_a_database_of_this_prefect_is_in_order(file, tmp_path):
    assert one(check(tmp_path)).status == "ok"
    known = database.known_revisions()
    assert len(known) > 50
    revision(file, sorted(known)[0])
    assert one(check(tmp_path)).status == "ok"
    file.unlink()
    assert "made by the first run" in one(check(tmp_path)).detail


def test_a_database_of_a_newer_prefect_is_named_with_its_revision(file, tmp_path):
    revision(file, "ffffffffffff")
    found = one(check(tmp_path))
    assert found.status == "fail" and "newer Prefect" in found.detail and "ffffffffffff" in found.detail
    assert "--upgrade prefect" in found.fix and f"mv {file}" in found.fix


def test_a_damaged_database_is_told(file, tmp_path):
    file.write_bytes(b"no database" * 1000)
    found = one(check(tmp_path))
    assert found.status == "fail" and f"{file} is damaged" in found.detail and "mv" in found.fix
    file.unlink()
    file.mkdir()
    assert "is not a file" in one(check(tmp_path)).detail


def test_a_locked_database_is_told_within_seconds(file, tmp_path, quiet):
    quiet.setattr(database, "PATIENCE", 0.2)
    holder = sqlite3.connect(file, isolation_level=None)
    try:
        holder.execute("begin immediate")
        found = one(check(tmp_path))
        assert found.status == "fail" and f"{file} is locked by" in found.detail
    finally:
        holder.close()
    assert one(check(tmp_path)).status == "ok"


def test_a_database_that_cannot_be_written_is_told(file, tmp_path):
    """As a user without rights: root may write everywhere."""
    file.chmod(0o444)
    for folder in (tmp_path, *(f for f in tmp_path.parents if "pytest" in f.name or "popen" in f.name)):
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", AS_NOBODY], cwd=tmp_path, capture_output=True, text=True)
    assert "cannot be written to" in done.stdout and f"chmod u+rw {file}" in done.stdout, done.stderr


def test_another_database_is_left_to_the_server(file, tmp_path, quiet):
    file.write_bytes(b"no database" * 1000)
    quiet.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://me:s3cret@db/prefect")
    found = one(check(tmp_path))
    assert found.status == "ok" and "s3cret" not in found.detail
    quiet.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{file}?timeout=1")
    assert one(check(tmp_path)).status == "fail"


def test_a_home_that_cannot_be_made_is_told(file, tmp_path, quiet):
    quiet.setenv("PREFECT_HOME", str(file / "home"))
    found = one(prefect_server.prefect_home(tmp_path))
    assert found.status == "fail" and f"{file} is not a folder" in found.detail


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "socks9://me:s3cret@127.0.0.1:9"), ("SSL_CERT_FILE", "/nowhere/certificates")],
)
def test_what_stops_the_client_of_prefect_is_named(name, value, tmp_path, quiet):
    quiet.setenv(name, value)
    found = one(proxies(tmp_path))
    assert found.status == "fail" and name in found.fix and "s3cret" not in found.detail


def test_a_proxy_is_in_order(tmp_path, quiet):
    assert one(proxies(tmp_path)).detail == "none"
    quiet.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert one(proxies(tmp_path)).status == "ok"


def test_what_answers_may_be_no_prefect_server(tmp_path, quiet, server):
    server.answers["/api/health"] = "<html>"
    quiet.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    found = one(prefect_server.prefect(tmp_path))
    assert found.status == "fail" and "no Prefect server" in found.detail

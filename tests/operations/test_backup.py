"""What a backup refuses, and what it takes over from an earlier one; test_backup_restored has the servers."""

import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from team_servers import team_settings
from whole_postgres import programs

from genarm.errors import ConfigError, PipelineError, Unreachable
from genarm.operations.backup import stores, votes
from genarm.operations.backup.earlier import REMOTE, link, newest
from genarm.operations.backup.restoring import restore
from genarm.operations.backup.saving import FILES, save
from genarm.operations.backup.sums import SUMS, check, write

OBJECT = "files/md5/1a/b"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """What a backup looks like."""
    folder = tmp_path / "2026-11-27T04-50-00Z"
    for name in ("mlflow.dump", "prefect.dump", f"{FILES}/a model/w", f"{FILES}/b", f"{REMOTE}/{OBJECT}"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    write(folder, {})
    return folder


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """The settings of servers that are not there."""
    return team_settings(tmp_path / "no store", tmp_path / "no socket", mlflow="x", prefect="x")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda f: (f / "mlflow.dump").write_text("mlflow.dumb"), "mlflow.dump was altered or cut short"),
        (lambda f: (f / REMOTE / OBJECT).write_text("short"), f"{OBJECT} was altered or cut short"),
        (lambda f: (f / FILES / "b").unlink(), "files/b is missing"),
        (lambda f: (f / FILES / "2").write_text(""), f"2 is not in {SUMS}"),
        (lambda f: (f / SUMS).unlink(), f"is no backup: {SUMS} cannot be read"),
    ],
)
def test_a_backup_that_is_not_as_it_was_saved_is_refused_before_anything_is_touched(
    harm, told, saved, nowhere
):
    assert check(saved) == 5
    assert subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=saved).returncode == 0
    harm(saved)
    with pytest.raises(PipelineError, match=re.escape(told)):
        restore(saved, nowhere)


def test_what_is_not_set_or_no_postgresql_is_told(tmp_path, saved, nowhere):
    backups = tmp_path / "backups"
    whole = nowhere | {"MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path)}
    for name in whole:
        with pytest.raises(ConfigError, match=f"^{name} not set"):
            save(backups, {k: v for k, v in whole.items() if k != name})
    with pytest.raises(ConfigError, match="only PostgreSQL"):
        save(backups, whole | {"MLFLOW_BACKEND_STORE_URI": "sqlite:///mlflow.db"})
    with pytest.raises(ConfigError, match="^MLFLOW_ARTIFACTS_DESTINATION: there is nothing at"):
        save(backups, nowhere)
    with pytest.raises(ConfigError, match="^GENARM_DVC_REMOTE: there is nothing at"):
        save(backups, whole | {"GENARM_DVC_REMOTE": str(tmp_path / "misspelt")})
    with pytest.raises(ConfigError, match="holds a DVC remote, and GENARM_DVC_REMOTE is not set"):
        restore(saved, whole)
    assert not backups.exists()


def test_a_database_that_does_not_answer_leaves_nothing_and_no_password_in_the_error(
    tmp_path, nowhere, monkeypatch
):
    monkeypatch.setenv("PATH", str(programs()), prepend=os.pathsep)
    (tmp_path / "no store").mkdir()
    wrong = {name: value.replace(":x@", ":hunter22@") for name, value in nowhere.items()}
    with pytest.raises(Unreachable, match="pg_dump failed") as error:
        save(tmp_path / "backups", wrong)
    assert "hunter22" not in str(error.value) and not list((tmp_path / "backups").iterdir())


def test_what_the_last_backup_has_whole_is_taken_over_without_a_copy(saved, tmp_path):
    size = len((saved / REMOTE / OBJECT).read_text())
    there, new = {OBJECT: size, "files/md5/2c/d": 9}, tmp_path / "new"
    unfinished = tmp_path / "2026-11-28T04-50-00Z" / REMOTE
    unfinished.mkdir(parents=True)
    assert newest(tmp_path) == saved
    assert set(link(there, saved, new)) == {f"{REMOTE}/{OBJECT}"}
    assert (new / REMOTE / OBJECT).samefile(saved / REMOTE / OBJECT)
    shutil.rmtree(new)
    assert link({OBJECT: size + 1}, saved, new) == {}  # the one at the remote is another
    (saved / REMOTE / OBJECT).write_bytes(b"x" * size)
    assert link(there, saved, new) == {}  # the one here is damaged
    assert not new.exists()


def test_a_remote_gets_what_it_lacks_and_keeps_what_it_has(saved, tmp_path):
    remote = tmp_path / "remote"
    remote.mkdir()
    kept = remote / "files" / "md5" / "9e" / "f"
    assert stores.missing(saved / REMOTE, str(remote)) == [OBJECT]
    stores.send(saved / REMOTE, [OBJECT], str(remote))
    kept.parent.mkdir()
    kept.write_text("newer")
    assert (remote / OBJECT).read_text() == f"{REMOTE}/{OBJECT}"
    assert stores.missing(saved / REMOTE, str(remote)) == []
    assert set(stores.sizes(str(remote))) == {OBJECT, "files/md5/9e/f"}
    (remote / OBJECT).write_text("cut")
    with pytest.raises(PipelineError, match=f"{OBJECT} at .* has 3 bytes, and 18 in the backup"):
        stores.missing(saved / REMOTE, str(remote))


def votes_in(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        return [text for (text,) in database.execute("select t from v")]


def test_votes_are_copied_while_a_server_writes_and_put_back_where_there_are_none(tmp_path):
    file, folder = tmp_path / "feedback.db", tmp_path / "backup"
    folder.mkdir()
    assert not votes.copy(file, folder), "the first vote makes the file"
    with closing(sqlite3.connect(file)) as server:
        server.execute("pragma journal_mode = wal")
        server.executescript("create table v (t); insert into v values ('yes');")
        server.execute("insert into v values ('not yet')")  # a transaction under way
        assert votes.copy(file, folder)
    assert [path.name for path in folder.iterdir()] == [votes.VOTES]
    with pytest.raises(PipelineError, match="feedback.db is there already"):
        votes.refuse_file(file)
    votes.put_back(folder, tmp_path / "new" / "feedback.db")
    assert votes_in(tmp_path / "new" / "feedback.db") == ["yes"]
    assert (tmp_path / "new" / "feedback.db").stat().st_mode & 0o777 == 0o600
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(Unreachable, match="the votes at .* cannot be read"):
        votes.copy(file, folder)


def test_votes_of_a_backup_are_not_left_out_in_silence(saved, nowhere, tmp_path):
    (tmp_path / "no store").mkdir()
    with closing(sqlite3.connect(saved / votes.VOTES)) as database:
        database.execute("create table v (t)")
    (saved / SUMS).unlink()
    write(saved, {})
    settings = nowhere | {"GENARM_DVC_REMOTE": str(tmp_path)}
    for address in ("", "postgresql://votes"):
        with pytest.raises(ConfigError, match="holds votes from an SQLite file, and GENARM_VOTES names none"):
            restore(saved, settings | {"GENARM_VOTES": address})
    with pytest.raises(ConfigError, match="GENARM_VOTES is votes.db, which is no database of votes"):
        restore(saved, settings | {"GENARM_VOTES": "votes.db"})

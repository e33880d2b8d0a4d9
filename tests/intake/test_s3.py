"""A refresh from a bucket, over HTTP: what changed, what is gone, what changes meanwhile, who may read."""

import json
import resource
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from s3_server import Store, s3_server
from toy_pipeline import environment

from genarm.data.dvc import data_version
from genarm.errors import DataError, Unreachable
from genarm.intake.take_in import take_in

pytestmark = pytest.mark.slow
SOURCE = "s3://team/exports/*.jsonl"


@pytest.fixture
def store(monkeypatch) -> Iterator[Store]:
    with s3_server("team") as served:
        for name, value in {**served.environment, "AWS_EC2_METADATA_DISABLED": "true"}.items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def put(store):
    def at(name: str, content: bytes) -> None:
        store.client().put_object(Bucket="team", Key=name, Body=content)

    return at


@pytest.fixture
def refreshed(project, params, toy):
    found = params(kind=("kind/*.jsonl", SOURCE))
    return lambda: take_in(project, found, lambda: toy.tokenizer)


@pytest.fixture
def begun(project, rows, put, refreshed):
    """The same after its first refresh: two objects of twenty pairs each."""
    put("exports/a.jsonl", rows(range(20)))
    put("exports/b.jsonl", rows(range(20, 40)))
    put("exports/old/c.jsonl", rows(range(40, 60)))  # below the glob
    put("exports/about.txt", b"no data")
    assert refreshed().version == data_version(project)
    return refreshed


def texts(project) -> dict[str, bytes]:
    return {
        f.relative_to(project / "data").as_posix(): f.read_bytes() for f in (project / "data").rglob("*.*")
    }


@contextmanager
def unchanged(project) -> Iterator[None]:
    """Data and its version are as before."""
    before, pointer = texts(project), (project / "data.dvc").read_bytes()
    yield
    assert (texts(project), (project / "data.dvc").read_bytes()) == (before, pointer)


def test_what_changed_comes_in_and_what_is_gone_goes(project, rows, put, store, begun):
    assert texts(project) == {"kind/a.jsonl": rows(range(20)), "kind/b.jsonl": rows(range(20, 40))}
    put("exports/a.jsonl", rows([*range(20), 70, 71]))
    put("exports/new.jsonl", rows(range(60, 63)))
    assert begun().outcome.endswith(": 5 added, 0 gone, 0 changed, 0 flipped")
    store.remove("team", "exports/new.jsonl")
    assert begun().outcome.endswith(": 0 added, 3 gone, 0 changed, 0 flipped")
    assert texts(project) == {"kind/a.jsonl": rows([*range(20), 70, 71]), "kind/b.jsonl": rows(range(20, 40))}
    store.remove("team", "exports/a.jsonl", "exports/b.jsonl")
    with unchanged(project), pytest.raises(DataError, match=r"nothing at s3://team/exports/\*.jsonl.* stay"):
        begun()


def test_the_command_says_in_under_five_seconds_that_nothing_changed(project, toy, store, begun):
    (project / "dvc.yaml").write_text("stages: {}\n")
    (project / "params.yaml").write_text(
        json.dumps(
            {
                "base": {"model": str(toy.folder), "dtype": "float32"},
                "dimensions": {
                    "kind": {
                        "data": {"files": "kind/*.jsonl", "from": SOURCE},
                        "judge": "length",
                        "weight": 1,
                    }
                },
            }
        )
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with unchanged(project):
        done = subprocess.run(
            ["genarm", "refresh", "--no-run"],
            cwd=project,
            env=environment(project) | store.environment,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0 and "nothing new" in done.stdout + done.stderr, done
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor, since the machine may be busy with other things; waiting for the store is little.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


def test_an_object_that_changes_while_it_is_read_is_refused_and_read_once_it_is_at_rest(
    project, rows, put, begun
):
    ended = threading.Event()

    def write() -> None:
        number = 101
        while not ended.is_set():
            put("exports/a.jsonl", rows([*range(20), *range(100, number)]))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with (
            unchanged(project),
            pytest.raises(Unreachable, match="changes while it is read, 3 times in a row"),
        ):
            begun()
    finally:
        ended.set()
        writer.join()
    assert begun().version == data_version(project)


def test_who_may_not_read_and_who_is_nobody_are_told_without_keys(project, store, begun, monkeypatch):
    users = store.client("iam")
    users.create_user(UserName="stranger")
    key = users.create_access_key(UserName="stranger")["AccessKey"]
    plain = {"Content-Type": "text/plain"}
    asked = urllib.request.Request(f"{store.address}/moto-api/reset-auth", b"0", plain, method="POST")
    urllib.request.urlopen(asked).close()  # from here on, rights are asked for
    logins = [
        {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]},
        {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": "wrongOne1"},
        {"AWS_ACCESS_KEY_ID": "AKIANOBODY0000000000", "AWS_SECRET_ACCESS_KEY": "wrongOne1"},
    ]
    for login in logins:
        for name, value in login.items():
            monkeypatch.setenv(name, value)
        with unchanged(project), pytest.raises(DataError, match=r"no right to read s3://team/.*") as told:
            begun()
        assert not [value for value in login.values() if value in str(told.value)]
        assert "AWS_*" in told.value.hint
    for name in login:
        monkeypatch.delenv(name)
    with unchanged(project), pytest.raises(DataError, match="no right to read .*NoCredentialsError"):
        begun()


def test_a_bucket_that_is_not_there(project, params, toy, store, begun):
    found = params(kind=("kind/*.jsonl", "s3://misspelt/*.jsonl"))
    with unchanged(project), pytest.raises(DataError, match="nothing at s3://misspelt"):
        take_in(project, found, lambda: toy.tokenizer)


def test_a_store_that_is_down_or_silent_is_told_within_a_minute(project, store, begun, monkeypatch):
    store.process.kill()
    store.process.wait()
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and says nothing
    for address in (store.address, f"http://127.0.0.1:{silent.getsockname()[1]}"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        began = time.monotonic()
        with unchanged(project), pytest.raises(Unreachable, match="cannot be read now"):
            begun()
        print(address, time.monotonic() - began)
        assert time.monotonic() - began < 60
    silent.close()

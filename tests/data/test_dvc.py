"""Real DVC in a temporary clone: data from any source, stages and their outcomes, nothing lost on the way."""

import fcntl
import functools
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from genarm.data import dvc as versioning
from genarm.data.sources import gather_hub
from genarm.errors import Busy, DataError, PipelineError, Unreachable
from genarm.system.process import run

SECRET = "s3cr3t"
STAGES = """
stages:
  count:
    cmd: mkdir -p artifacts && echo counting && cat data/*.jsonl | wc -l > artifacts/count
    deps: [data]
    outs: [artifacts/count]
  broken:
    cmd: 'echo working && echo "error: no such thing" >&2 && echo "hint: try another" >&2 && exit 1'
    deps: [data]
    outs: [artifacts/broken]
"""


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def dvc(root: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "dvc", *arguments]
    subprocess.run(
        command, cwd=root, check=True, capture_output=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"}
    )


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A project as the repository has it: data.dvc imports seed/, unfrozen."""
    root = tmp_path_factory.mktemp("origin")
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "test")
    git(root, "config", "user.email", "test@example.org")
    dvc(root, "init", "--quiet")
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    (root / ".gitignore").write_text("/.cache/\n/artifacts/\n/data\n")
    (root / "dvc.yaml").write_text(STAGES)
    (root / "seed").mkdir()
    (root / "seed" / "a.jsonl").write_text('{"seed": 1}\n')
    git(root, "add", "--all")
    versioning.set_data(root, str(root / "seed"))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "all")
    return root


@pytest.fixture
def clone(origin, tmp_path):
    """A fresh clone: no data/, no cache."""
    git(tmp_path, "clone", "--quiet", str(origin), "clone")
    return tmp_path / "clone"


@pytest.fixture
def project(origin, tmp_path):
    """A project that has run before: data/ and the cache are there."""
    return shutil.copytree(origin, tmp_path / "project")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"a": 1}\n')
    return folder


@pytest.fixture
def web(tmp_path):
    """A folder behind HTTP, and its address."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(Server, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves files, and the little of the hub's API that a download asks for."""

    def log_message(self, *arguments: object) -> None:
        pass

    def send_head(self):
        path, commit = urlsplit(self.path).path, "c" * 40
        api = {
            "/api/datasets/team/birds/revision/v1": {"id": "team/birds", "sha": commit, "siblings": []},
            f"/api/datasets/team/birds/tree/{commit}": [
                {"type": "file", "path": "part/a.jsonl", "size": 9, "oid": "e"},
                {"type": "file", "path": "part/card.md", "size": 9, "oid": "f"},
            ],
        }
        if path in api:
            (Path(self.directory) / "api.json").write_text(json.dumps(api[path]))
            self.path = "/api.json"
        elif path.startswith("/api/"):
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound" if "team/birds" in path else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        elif "/resolve/" in path:
            self.path = "/" + path.split("/resolve/")[1].split("/", 1)[1]
        return super().send_head()

    def end_headers(self):
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", '"e"')
        super().end_headers()


def test_a_fresh_clone_makes_its_data_from_the_seed_and_stays_clean(origin, clone):
    assert versioning.data_version(clone) == versioning.data_version(origin)
    assert "data.dvc" in versioning.status(clone)
    assert versioning.run_stage(clone, "data.dvc") == "ran"
    assert (clone / "data" / "a.jsonl").read_bytes() == (origin / "seed" / "a.jsonl").read_bytes()
    assert versioning.run_stage(clone, "data.dvc") == "unchanged"
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.slow
def test_the_same_files_are_the_same_version_from_anywhere(clone, source, web):
    folder, address = web
    pointer, versions, texts = clone / "data.dvc", [], []
    shutil.copy(source / "a.jsonl", folder)
    url = f"{address}/a.jsonl?signature={SECRET}"
    for given in (str(source / "a.jsonl"), str(source / "*.jsonl"), url):
        versions.append(versioning.set_data(clone, given))
        texts.append(pointer.read_bytes())
        assert [f.name for f in (clone / "data").iterdir()] == ["a.jsonl"]
    assert len(set(versions)) == len(set(texts)) == 1
    assert versions[0] == versioning.data_version(clone)
    back = versioning.set_data(clone, str(clone / "seed"))
    assert back != versions[0]
    assert git(clone, "status", "--porcelain") == ""  # the embedded default again, to the byte
    assert not list((clone / ".cache").iterdir())


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("nowhere.jsonl", DataError, "no file at 'nowhere.jsonl'"),
        ("{source}/empty", DataError, "no file at"),
        ("{source}/*/b.jsonl", DataError, "would both be b.jsonl"),
        ("{source}/one/notes.txt", DataError, "holds no data file"),
        ("{address}/absent.jsonl?signature=s3cr3t", DataError, "nothing there"),
        ("http://me:s3cr3t@example.org/a.jsonl", DataError, "carries a user name or password"),
        ("HTTPS://me:s3cr3t@example.org/a.jsonl", DataError, "carries a user name or password"),
        ("s3://bucket/folder", DataError, "pip install dvc-s3"),
        ("hf://team/birds", DataError, "names no revision"),
        ("hf://birds@v1", DataError, "names no data set"),
    ],
)
def test_a_source_that_fails_leaves_the_data_as_it_was(clone, source, web, given, error, says):
    for name in ("one", "two", "empty"):
        (source / name).mkdir()
    for name in ("one/b.jsonl", "two/b.jsonl", "one/notes.txt"):
        (source / name).touch()
    (clone / "data").mkdir()
    (clone / "data" / "mine.jsonl").write_text("{}\n")
    with pytest.raises(error, match=says) as caught:
        versioning.set_data(clone, given.format(source=source, address=web[1]))
    assert SECRET not in str(caught.value)
    assert [f.name for f in (clone / "data").iterdir()] == ["mine.jsonl"]
    assert git(clone, "status", "--porcelain") == ""


def test_data_that_the_check_refuses_never_gets_there(clone, source):
    def refuse(folder: Path) -> None:
        assert (folder / "a.jsonl").is_file()
        raise DataError("too few pairs")

    with pytest.raises(DataError, match="too few"):
        versioning.set_data(clone, str(source), refuse)
    assert not (clone / "data").exists() and git(clone, "status", "--porcelain") == ""


def test_a_pointer_left_by_a_merge_is_named(tmp_path):
    (tmp_path / "data.dvc").write_text("<<<<<<< ours\nouts: [{md5: a.dir}]\n=======\n")
    with pytest.raises(DataError, match="data.dvc is not valid YAML.*git checkout"):
        versioning.data_version(tmp_path)


def test_a_lock_that_another_dvc_holds_is_named_and_nothing_is_lost(clone, source):
    (clone / "data").mkdir()
    (clone / "data" / "mine.jsonl").write_text("{}\n")
    (clone / ".dvc" / "tmp").mkdir()
    with (clone / ".dvc" / "tmp" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another DVC command holds the lock"):
            versioning.set_data(clone, str(source))
    assert (clone / "data" / "mine.jsonl").exists() and git(clone, "status", "--porcelain") == ""


def test_a_stage_runs_once_is_restored_and_streams_its_lines(project):
    seen: list[str] = []
    assert versioning.run_stage(project, "count", seen.append) == "ran"
    assert "counting" in seen and (project / "artifacts" / "count").read_text().strip() == "1"
    assert versioning.run_stage(project, "count") == "unchanged"
    shutil.rmtree(project / "artifacts")
    assert versioning.run_stage(project, "count") == "restored"


def test_a_stage_that_fails_speaks_in_its_own_words(project):
    with pytest.raises(PipelineError) as caught:
        versioning.run_stage(project, "broken")
    assert str(caught.value) == "stage broken failed: no such thing; hint: try another"
    with pytest.raises(PipelineError, match="'absent' not found"):
        versioning.run_stage(project, "absent")


@pytest.mark.slow
def test_a_clone_takes_added_data_from_the_remote(clone, source, tmp_path):
    version = versioning.set_data(clone, str(source))
    dvc(clone, "remote", "add", "--default", "store", str(tmp_path / "store"))
    dvc(clone, "push")
    git(clone, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "other data")
    git(tmp_path, "clone", "--quiet", str(clone), "second")
    second = tmp_path / "second"
    assert versioning.pull_data(second) == "restored"
    assert (second / "data" / "a.jsonl").read_text() == '{"a": 1}\n'
    assert versioning.data_version(second) == version and git(second, "status", "--porcelain") == ""
    shutil.rmtree(second / "data")
    shutil.rmtree(second / ".dvc" / "cache")
    dvc(second, "remote", "remove", "store")
    with pytest.raises(PipelineError, match="no DVC remote has it.*dvc remote add"):
        versioning.pull_data(second)


def test_a_hub_data_set_comes_as_it_is_from_its_revision(web, tmp_path, monkeypatch):
    folder, address = web
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    files = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (folder / "part").mkdir()
    (folder / "part" / "a.jsonl").write_text('{"a": 1}\n')
    whole, inner = tmp_path / "whole", tmp_path / "inner"
    gather_hub("hf://team/birds@v1", whole)
    gather_hub("hf://team/birds@v1/part", inner)
    assert (whole / "part" / "a.jsonl").read_text() == (inner / "a.jsonl").read_text() == '{"a": 1}\n'
    for source, says in (
        ("hf://team/birds@v2", "no revision 'v2'"),
        ("hf://team/fish@v1", "no data set 'team/fish'"),
        ("hf://team/birds@v1/absent", "has no data files"),
    ):
        with pytest.raises(DataError, match=says):
            gather_hub(source, tmp_path / "never")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="does not answer"):
        gather_hub("hf://team/birds@v3", tmp_path / "never")


SLEEPERS = "sleep 60 & echo $!; wait"


def gone(pid: int) -> bool:
    for _ in range(100):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().split()[2] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_an_interrupt_ends_everything_a_command_started(tmp_path):
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["/bin/sh", "-c", SLEEPERS], tmp_path, os.environ, interrupt)
    assert gone(pids[0])


def test_a_command_does_not_outlive_a_killed_caller(tmp_path, monkeypatch):
    monkeypatch.setattr("genarm.system.process.GRACE", 1)
    code = (
        "import os, sys; from genarm.system import process; process.GRACE = 1;"
        f"process.run(['/bin/sh', '-c', {SLEEPERS!r}], '.', os.environ, lambda line: print(line, flush=True))"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    with caller:
        pid = int(caller.stdout.readline())
        caller.send_signal(signal.SIGKILL)
    assert gone(pid)

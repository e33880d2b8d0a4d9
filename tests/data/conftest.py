"""Fixtures of the data tests: a project under DVC, a clone of it, a source of data, a web server."""

import functools
import http.server
import shutil
import threading

import pytest
from data_server import Server
from dvc_project import STAGES, dvc, git

from genarm.data.dvc import set_data


@pytest.fixture(scope="session")
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
    set_data(root, str(root / "seed"))
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

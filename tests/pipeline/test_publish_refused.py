"""What keeps results from being published is told with the way out; nothing is lost, and it is done later."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from published_project import BRANCH, COMMIT, HELD, make
from typer.testing import CliRunner

from genarm.cli.main import app
from genarm.config import PublishConfig, check_params
from genarm.errors import Busy, ConfigError, PipelineError, Unreachable
from genarm.pipeline.preflight.publishing import publishing
from genarm.pipeline.project import Project
from genarm.pipeline.publish.ready import ready

SECRET = "hunter2hunter2"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    place = make(tmp_path)
    place.decide(1)
    return place


def refused(place, config=COMMIT) -> PipelineError:
    """The one error of a publishing, after which everything is still there."""
    before = (place.root / "dvc.lock").read_text()
    made = place.publish(config, HELD)
    assert len(made.left) == 1 and made.left[0].hint
    assert (place.root / "dvc.lock").read_text() == before
    if made.commit:
        assert place.git("show", f"{made.commit}:dvc.lock") == before.strip()
    return made.left[0]


def test_a_diverged_branch(place, tmp_path):
    other = place.clone(tmp_path / "other")
    other.git("commit", "--quiet", "--allow-empty", "-m", "theirs")
    other.git("push", "--quiet")
    (place.root / "code.py").write_text("x = 2\n")
    error = refused(place)
    assert (
        "origin/main has commits that main lacks" in error.message and "is kept on main here" in error.message
    )
    assert "git pull --rebase --autostash" in error.hint
    place.git("fetch", "--quiet")
    ahead = ready(place.root, COMMIT)
    assert [r.status for r in ahead] == ["warn"] and "1 commit that main lacks" in ahead[0].detail
    place.git("pull", "--quiet", "--rebase", "--autostash")
    assert not place.publish(COMMIT).left
    assert place.there("log", "-2", "--format=%s", "main").split("\n") == ["kind held", "theirs"]


def test_a_protected_branch_and_the_review_that_its_error_proposes(place):
    place.hook("pre-receive", "error: GH006: Protected branch update failed for refs/heads/main.", there=True)
    error = refused(place)
    assert "origin/main is protected" in error.message and "genarm publish --git branch" in error.hint
    (place.bare / "hooks" / "pre-receive").unlink()
    made = place.publish(BRANCH)
    assert not made.left and place.there("rev-parse", made.branch) == place.git("rev-parse", "HEAD")


@pytest.mark.parametrize("config", [COMMIT, BRANCH])
def test_a_hook_of_this_clone(place, config):
    hook = place.hook("pre-commit", "no tabs please")
    before = place.git("rev-parse", "HEAD"), place.git("status", "--porcelain")
    error = refused(place, config)
    assert "no tabs please" in error.message and "git commit -- data.dvc dvc.lock" in error.hint
    assert (place.git("rev-parse", "HEAD"), place.git("status", "--porcelain")) == before
    assert len(place.git("branch", "--list").splitlines()) == 1
    hook.unlink()
    place.hook("pre-push", "not on fridays").rename(place.root / ".git" / "hooks" / "pre-push")
    assert "not on fridays" in refused(place, config).message
    (place.root / ".git" / "hooks" / "pre-push").unlink()
    assert not place.publish(config).left


def test_a_hook_there(place):
    place.hook("pre-receive", "commits must be signed", there=True)
    message = refused(place).message
    assert "the push: commits must be signed; [remote rejected] (pre-receive hook declined); " in message


def test_a_remote_without_rights_or_answer_shows_no_login(place):
    class Forbids(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forbids)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://bot:{SECRET}@127.0.0.1:{server.server_port}/x.git"
    place.git("remote", "set-url", "origin", address)
    try:
        error = refused(place)
    finally:
        server.shutdown()
        server.server_close()
    assert "may not push to origin/main" in error.message and "403" in error.message
    away = refused(place)
    assert isinstance(away, Unreachable), "it is tried again"
    noted = (place.root / ".cache" / "publish" / "last.json").read_text()
    assert SECRET not in f"{error} {away} {noted} {place.git('log', '-1', '--format=%B')}"
    place.git("remote", "set-url", "origin", str(place.bare))
    assert not place.publish(COMMIT).left


def test_another_git_at_work(place):
    lock = place.root / ".git" / "index.lock"
    lock.touch()
    assert isinstance(refused(place), Busy)
    lock.unlink()
    assert not place.publish(COMMIT).left


def test_what_can_be_known_before_a_run_is_refused_then(place, monkeypatch):
    def told(config=COMMIT) -> str:
        return " ".join(f"{r.status}: {r.detail} -> {r.fix}" for r in ready(place.root, config))

    assert told() == told(BRANCH) == ""
    (place.root / ".dvc").mkdir()
    assert "no default DVC remote -> dvc remote add -d" in told(PublishConfig(dvc="push"))
    place.git("checkout", "--quiet", "--detach")
    assert told().startswith("fail: publish.git is commit, and no branch is checked out")
    assert told(BRANCH) == "" and not place.publish(BRANCH).left
    place.git("checkout", "--quiet", "main")
    (place.root / ".git" / "MERGE_HEAD").write_text(place.git("rev-parse", "HEAD") + "\n")
    assert "a merge is under way here -> git merge --continue" in told()
    (place.root / ".git" / "MERGE_HEAD").unlink()
    place.git("remote", "rename", "origin", "a")
    place.git("config", "--unset", "branch.main.remote")
    assert told() == "", "there is only one"
    place.git("remote", "add", "b", "elsewhere")
    assert "the remotes a, b, of which none is meant -> git config remote.pushDefault a" in told()
    place.git("config", "user.useConfigOnly", "true")
    place.git("config", "--unset", "user.email")
    assert "git does not know who commits -> git config user.name" in told(PublishConfig(git="commit"))


def test_the_next_run_and_the_command_know_what_was_left(place, monkeypatch):
    monkeypatch.chdir(place.root)
    nothing = CliRunner().invoke(app, ["publish"])
    assert isinstance(nothing.exception, ConfigError) and "--git commit --push" in nothing.exception.hint
    params = json.loads((place.root / "params.yaml").read_text())
    params["publish"] = {"git": "commit", "push": True}
    (place.root / "params.yaml").write_text(json.dumps(params))
    hook = place.hook("pre-receive", "closed today", there=True)
    assert isinstance(CliRunner().invoke(app, ["publish", "--json"]).exception, PipelineError)
    warned = publishing(Project(place.root))
    assert [r.status for r in warned] == ["warn"] and "closed today" in warned[0].detail
    hook.unlink()
    done = CliRunner().invoke(app, ["publish"])
    assert done.exit_code == 0 and "pushed to origin/main" in done.output
    assert publishing(Project(place.root)) == []


def test_a_push_without_a_commit_is_no_setting():
    values = {"base": {"model": "x"}, "dimensions": {}, "publish": {"push": True}}
    with pytest.raises(ConfigError, match=r"publish\.push needs a commit"):
        check_params(values | {"dimensions": {"a": {"data": "a", "judge": "vader", "weight": 1}}}, "p")

"""A run publishes, a second clone takes everything and runs nothing; a refused push is done later."""

import json
import subprocess
from pathlib import Path

import pytest
from toy_pipeline import environment, genarm, git, make_base, make_project, toy_params, write_params

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("publishing")]

PUBLISH = {"dvc": "push", "git": "commit", "push": True}
OURS = ("config", "user.name", "t"), ("config", "user.email", "t@example.org")


def dvc(folder: Path, *words: str) -> str:
    """The real DVC in a clone; fails where it fails."""
    done = subprocess.run(
        ["dvc", *words], cwd=folder, env=environment(folder), check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A clone and a bare repository, with a DVC remote beside them."""
    top = tmp_path_factory.mktemp("team")
    make_base(top / "base")
    params = toy_params(top / "base") | {"publish": PUBLISH}
    params["decide"] |= {"alpha": 1e-12}  # whatever it gains, so few prompts do not show it
    make_project(top / "one", params)
    git(top, "init", "--quiet", "--bare", "-b", "main", "remote.git")
    one = top / "one"
    for words in OURS:
        git(one, *words)
    dvc(one, "remote", "add", "-q", "-d", "store", str(top / "store"))
    git(one, "checkout", "--quiet", "-B", "main")
    git(one, "remote", "set-url", "origin", str(top / "remote.git"))
    git(one, "commit", "--quiet", "-am", "remotes")
    git(one, "push", "--quiet", "-u", "origin", "main")
    git(top, "clone", "--quiet", "remote.git", "two")
    return top


def test_a_second_clone_takes_everything_and_runs_nothing(place):
    one, two = place / "one", place / "two"
    log = genarm(one, "run")
    assert "pushed to origin/main" in log and "files pushed" in log
    assert git(one, "status", "--porcelain") == ""
    assert set(git(one, "show", "--name-only", "--format=", "HEAD").split()) <= {
        *("data.dvc", "dvc.lock"),
        *(f"mlflow/{name}.json" for name in ("champions", "incumbents", "looks", "starts")),
    }
    decided = json.loads((one / "artifacts" / "decisions.json").read_text())
    message = git(one, "log", "-1", "--format=%B")
    assert all(f"- {d['reasons'][0]}" in message for d in decided.values()) and "Flow run " in message
    assert "promote" not in {d["outcome"] for d in decided.values()}
    git(two, "pull", "--quiet")
    dvc(two, "pull")
    assert dvc(two, "status").strip() == "Data and pipelines are up to date."
    assert "Running stage" not in dvc(two, "repro")
    assert git(two, "status", "--porcelain") == ""
    for name in ("decisions.json", "arms/vowels/arm.json"):
        assert (two / "artifacts" / name).read_bytes() == (one / "artifacts" / name).read_bytes()


def test_after_a_refused_push_the_decision_stands_and_is_published_by_hand(place):
    one = place / "one"
    write_params(one, toy_params(place / "base") | {"publish": PUBLISH})
    git(one, "commit", "--quiet", "-am", "an attainable alpha")
    hook = place / "remote.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho closed tonight >&2\nexit 1\n")
    hook.chmod(0o755)
    log = genarm(one, "run", ok=False)
    assert "the decision stands, but not all is published" in log and "closed tonight" in log
    champions = json.loads((one / "mlflow" / "champions.json").read_text())
    assert all(champions.values()), "both are promoted"
    assert git(one, "log", "-1", "--format=%s").strip() == "vowels promoted, digits promoted"
    runs = git(one, "rev-list", "--count", "origin/main..HEAD").strip()
    assert runs == "2", "the parameters and the results are kept here"
    hook.unlink()
    assert "with 1 earlier commit that had not been pushed" in genarm(one, "publish")
    two = place / "two"
    git(two, "pull", "--quiet")
    dvc(two, "pull")
    assert json.loads((two / "mlflow" / "champions.json").read_text()) == champions
    assert dvc(two, "status").strip() == "Data and pipelines are up to date."
    assert "Running stage" not in dvc(two, "repro") and git(two, "status", "--porcelain") == ""

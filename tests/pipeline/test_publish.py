"""Results are committed, alone, with the decision; a branch for review leaves what is checked out alone."""

import pytest
from published_project import BRANCH, COMMIT, HELD, IN_USE, PROMOTED, RESULTS, make

from genarm.config import PublishConfig


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    return make(tmp_path)


def changed(place, commit: str = "HEAD") -> list[str]:
    return place.git("show", "--name-only", "--format=", commit).split()


def test_a_commit_holds_the_results_and_nothing_else_and_tells_the_decision(place):
    place.decide(1, IN_USE)
    (place.root / "code.py").write_text("x = 2\n")
    (place.root / "staged.txt").write_text("mine\n")
    (place.root / "mlflow" / "key.json").write_text('{"secret": 1}\n')
    place.git("add", "staged.txt")
    made = place.publish(COMMIT, PROMOTED)
    assert made.error is None and place.git("rev-parse", "HEAD") == made.commit
    assert changed(place) == ["data.dvc", "dvc.lock", "mlflow/champions.json"], "the rest is as it was"
    assert place.git("status", "--porcelain").split("\n") == [
        "M code.py",
        "A  staged.txt",
        "?? mlflow/key.json",
    ]
    message = place.git("log", "-1", "--format=%B")
    assert message.splitlines()[0] == "kind promoted"
    assert "win rate 0.68 [0.60, 0.75] n=120" in message and "before it the base model" in message
    assert "Data version a0000000000000000000000000000001" in message
    assert place.there("rev-parse", "main") == made.commit
    assert "code.py" in made.notes[0] and "run them again" in made.notes[0] and len(made.notes) == 1
    again = place.publish(COMMIT)
    assert not again.left and again.commit == made.commit and "already" in again.done[-1]


def test_results_that_git_does_not_know_yet_are_committed_too(place):
    place.git("rm", "--quiet", "--cached", "mlflow/looks.json", "dvc.lock")
    place.git("commit", "--quiet", "-m", "without")
    (place.root / "mlflow" / "tracked.json").write_text("{}\n")
    place.git("add", "mlflow/tracked.json")
    made = place.publish(PublishConfig(git="commit"))
    assert not made.left and changed(place) == ["dvc.lock", "mlflow/looks.json", "mlflow/tracked.json"]
    assert place.there("rev-parse", "main") != made.commit, "nothing is pushed unless it is asked for"


def test_a_branch_for_review_leaves_the_checked_out_one_untouched(place, tmp_path):
    place.decide(1)
    (place.root / "code.py").write_text("x = 2\n")
    before = place.git("rev-parse", "HEAD"), place.git("status", "--porcelain")
    made = place.publish(BRANCH, HELD)
    assert not made.left and made.branch.startswith("genarm/results-")
    assert (place.git("rev-parse", "HEAD"), place.git("status", "--porcelain")) == before
    assert (
        place.there("rev-parse", made.branch) == made.commit and place.there("rev-parse", "main") == before[0]
    )
    assert changed(place, made.branch) == ["data.dvc", "dvc.lock"]
    assert place.git("log", "-1", "--format=%s", made.branch) == "kind held"
    assert len(place.git("worktree", "list").splitlines()) == 1
    assert place.publish(BRANCH).commit == made.commit, "the same results open no second branch"
    place.there("update-ref", "refs/heads/main", made.commit)  # it was merged
    place.git("fetch", "--quiet")
    merged = place.publish(BRANCH)
    assert merged.done == ["git: these results are committed already"] and not merged.left
    now = (place.root / "dvc.lock").read_text()
    place.git("restore", "data.dvc", "dvc.lock", "mlflow/*.json")
    place.git("pull", "--quiet")
    assert place.git("rev-parse", "HEAD") == made.commit and (place.root / "dvc.lock").read_text() == now
    other = place.clone(tmp_path / "other")
    assert other.git("show", "HEAD:dvc.lock") == (place.root / "dvc.lock").read_text().strip()
    place.decide(2)
    assert place.publish(BRANCH).branch != made.branch


def test_a_project_in_a_folder_of_its_repository(place):
    """Paths are those of the project, the commit is of the repository."""
    place.git("checkout", "--quiet", "-b", "moved")
    (place.root / "sub").mkdir()
    place.git("mv", *RESULTS[:2], "code.py", "params.yaml", "mlflow", "sub")
    place.git("commit", "--quiet", "-m", "moved")
    inner = type(place)(place.root / "sub", place.bare)
    inner.decide(1)
    made = inner.publish(BRANCH)
    assert not made.left and changed(place, made.branch) == ["sub/data.dvc", "sub/dvc.lock"]
    made = inner.publish(COMMIT)
    assert not made.left and changed(place) == ["sub/data.dvc", "sub/dvc.lock"]
    assert place.there("rev-parse", "moved") == made.commit


def test_by_hand_the_message_tells_what_holds_now(place):
    """A version that was promoted and rolled back since is not told as promoted."""
    place.decide(1, IN_USE)
    place.publish(COMMIT, PROMOTED)
    place.decide(1)
    made = place.publish(COMMIT)
    assert not made.left and changed(place) == ["mlflow/champions.json"]
    message = place.git("log", "-1", "--format=%B")
    assert message.startswith("kind: the base model in use\n") and "before it version 3" in message


def test_without_a_remote_a_commit_is_all_there_is_to_do(place):
    place.git("remote", "remove", "origin")
    place.decide(1)
    assert not place.publish(PublishConfig(git="commit")).left
    assert place.publish(PublishConfig(git="branch")).done == ["git: these results are committed already"]

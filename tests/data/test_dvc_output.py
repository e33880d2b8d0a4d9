"""Every phrase that is read from DVC's output, as the real DVC prints it today."""

import fcntl
import json
import os
import shutil
import sys

import pytest

from genarm.data import dvc_output
from genarm.data.dvc_output import data_is_missing, failure, fetch_failure, graph, is_worth_logging, outcome
from genarm.errors import Busy, PipelineError
from genarm.system.process import run


def lines_of(root, *arguments: str) -> list[str]:
    """What the real DVC prints."""
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    return run([sys.executable, "-m", "dvc", *arguments], root, environment)[1]


def starting(lines: list[str], phrase: str) -> list[str]:
    return [line for line in lines if line.startswith(phrase)]


def test_the_three_outcomes_of_a_stage(project):
    running, importing, _ = dvc_output.RAN
    ran = lines_of(project, "repro", "-s", "count")
    assert starting(ran, running) and starting(ran, dvc_output.COMMAND) and outcome(ran) == "ran"
    unchanged = lines_of(project, "repro", "-s", "count")
    assert outcome(unchanged) == "unchanged"
    shutil.rmtree(project / "artifacts")
    restored = lines_of(project, "repro", "-s", "count")
    assert any(dvc_output.RESTORED in line for line in restored) and outcome(restored) == "restored"
    with (project / "seed" / "a.jsonl").open("a") as file:
        file.write("{}\n")
    imported = lines_of(project, "repro", "-s", "data.dvc")
    assert starting(imported, importing) and outcome(imported) == "ran"


def test_an_added_folder_that_changed_is_verified(project, source):
    (project / "data.dvc").unlink()
    shutil.rmtree(project / "data")
    shutil.copytree(source, project / "data")
    added = lines_of(project, "add", "data")
    assert starting([line.strip() for line in added], "To track the changes")
    assert starting([line.strip() for line in added], "git add")
    (project / "data" / "b.jsonl").write_text("{}\n")
    verified = lines_of(project, "repro", "-s", "data.dvc")
    assert starting(verified, dvc_output.RAN[2]) and outcome(verified) == "ran"


def test_a_failed_stage_is_quoted_by_its_own_error(project):
    lines = lines_of(project, "repro", "-s", "broken")
    assert starting(lines, dvc_output.NOT_REPRODUCED)
    assert str(failure("it", lines)) == "it failed: no such thing; hint: try another"
    far = [lines[0], dvc_output.COMMAND + "genarm train kind", "killed", 'progress: {"done": 1}']
    assert failure("it", far).message == "it failed: killed", "how far it was is no part of the error"
    absent = lines_of(project, "repro", "-s", "absent")
    assert starting(absent, dvc_output.ERROR) and "'absent' not found" in str(failure("it", absent))


def test_both_locks_are_recognised(project):
    folder = project / ".dvc" / "tmp"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = lines_of(project, "repro", "-s", "count")
    assert any(dvc_output.LOCKED[0] in line for line in held) and isinstance(failure("it", held), Busy)
    writer = {"write": {str(project / "data"): {"pid": os.getpid(), "cmd": "dvc pull"}}, "read": {}}
    (folder / "rwlock").write_text(json.dumps(writer))
    blocked = lines_of(project, "repro", "-s", "count")
    assert any(dvc_output.LOCKED[1] in line for line in blocked)
    busy = failure("it", blocked)
    assert isinstance(busy, Busy) and f"(PID {os.getpid()})" in busy.message


def test_added_data_that_is_neither_in_place_nor_cached_is_recognised(project, source):
    (project / "data.dvc").unlink()
    shutil.rmtree(project / "data")
    shutil.copytree(source, project / "data")
    lines_of(project, "add", "data")
    shutil.rmtree(project / "data")
    shutil.rmtree(project / ".dvc" / "cache")
    lines = lines_of(project, "repro", "-s", "data.dvc")
    assert data_is_missing(lines) and isinstance(failure("it", lines), PipelineError)


def test_why_a_fetch_failed_is_read_from_its_error(clone, web):
    _, address = web
    nothing = lines_of(clone, "get-url", f"{address}/absent.jsonl?signature=s3cr3t", "x")
    error = fetch_failure(f"{address}/absent.jsonl?signature=s3cr3t", nothing)
    assert "nothing there" in error.message and "s3cr3t" not in str(error)
    extra = fetch_failure("gs://bucket/a", lines_of(clone, "get-url", "gs://bucket/a", "x"))
    assert extra.hint == "pip install dvc-gs"


def test_advice_and_notes_of_empty_files_are_not_worth_logging(project):
    (project / "artifacts").mkdir(exist_ok=True)
    (project / "artifacts" / "empty").touch()
    with (project / "dvc.yaml").open("a") as file:
        file.write("  touch:\n    cmd: touch artifacts/empty\n    outs: [artifacts/empty]\n")
    lines = lines_of(project, "repro", "-s", "touch")
    assert any(line.startswith("WARNING") and line.endswith(dvc_output.EMPTY_FILE) for line in lines)
    logged = [line for line in lines if is_worth_logging(line)]
    stripped = [line.strip() for line in lines]
    assert all(starting(stripped, phrase) for phrase in dvc_output.ADVICE)
    assert logged == [line for line in lines if line.startswith(("Running", ">", "Generating", "Updating"))]


@pytest.mark.slow
def test_the_graph_of_stages_is_in_an_order_in_which_they_run(project):
    stages = graph("\n".join(lines_of(project, "dag", "--dot")))
    assert stages == {"data.dvc": [], "count": ["data.dvc"], "broken": ["data.dvc"]}
    assert next(iter(stages)) == "data.dvc"

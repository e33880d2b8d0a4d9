"""How a command starts: where there is no project, in odd folders and locales, and what it never shows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genarm.cli import main as cli

GENARM = Path(sys.executable).with_name("genarm")
COMMANDS = (
    "pairs length",
    "prompts",
    "train length",
    "train-judge length",
    "accuracy length params.yaml",
    "tune length",
    "front",
    "judge-check length params.yaml",
    "respond base",
    "judge length",
    "decide",
    "report",
    "run",
    "plan",
    "data somewhere",
    "data approve",
    "data reject",
    "refresh",
    "refresh --no-run",
    "synthesize",
    "chat",
    "compare toy",
    "export length",
    "serve",
    "feedback status",
    "feedback export --dimension length",
    "feedback erase somebody",
    "gc",
    "publish",
    "lineage data",
    "status",
    "watch",
    "canary judge --once",
    "canary stop --reason worse",
    "registry list",
    "registry show length",
    "registry promote length",
    "registry check",
    "registry rollback length --reason worse",
    "registry reconcile",
)


@pytest.fixture
def outside(run, project, tmp_path, monkeypatch):
    """`run`, in a folder that belongs to no project."""
    (tmp_path / "params.yaml").unlink()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_outside_a_project_every_command_says_so_and_leaves_nothing(command, outside, tmp_path):
    command = command.replace("params.yaml", __file__)
    code, out, err = outside(*command.split())
    assert (code, out) == (1, "")
    assert err.startswith("error: this is no project: ") and "hint: " in err and "genarm init" in err
    assert [p.name for p in tmp_path.iterdir()] == ["empty"] and not list((tmp_path / "empty").iterdir())


def test_every_command_was_tried(outside):
    names = {c.name or c.callback.__name__ for c in cli.app.registered_commands}
    assert names - {c.split()[0] for c in COMMANDS} == {"init", "doctor", "params"}


def test_the_doctor_has_its_say_outside_a_project(outside):
    code, out, _ = outside("doctor", "--json")
    assert code == 1
    (told,) = [f for f in json.loads(out) if f["check"] == "params.yaml"]
    assert told["status"] == "fail" and "no parameter file" in told["detail"]


def test_training_before_there_are_pairs_names_the_stage_to_run(run, project, toy):
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("nowhere", str(toy.folder)))
    code, _, err = run("train", "length")
    assert code == 1 and "error: no file at " in err and "length/train.jsonl" in err
    assert "hint: run the stage that writes it: dvc repro" in err


def test_a_run_before_there_is_data_starts_nothing(run, project):
    code, out, err = run("run")
    assert (code, out) == (1, "") and "no preference data yet" in err and "genarm data SOURCE" in err
    assert [f.name for f in project.iterdir()] == ["params.yaml"]


def test_a_program_that_is_not_there_is_told_as_a_program(run, monkeypatch):
    def start() -> None:
        subprocess.run(["no-such-git", "status"], check=True)

    monkeypatch.setattr(cli, "app", start)
    code, _, err = run("plan")
    assert code == 1 and "error: the program 'no-such-git' is not installed" in err and "PATH" in err


def test_a_folder_with_a_question_mark_is_refused_before_anything_is_written(run, tmp_path):
    code, _, err = run("init", str(tmp_path / "what?now"))
    assert code == 1 and "a project cannot lie in " in err and "'?'" in err
    assert not list(tmp_path.glob("what*"))


def typed(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_"))}
    return subprocess.run(
        [GENARM, *words], cwd=folder, env=kept | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("uri", ["http://me:hunter/2x@127.0.0.1:1", "http://me:hun@ter2x@127.0.0.1:1"])
def test_no_part_of_a_password_is_shown(uri, project):
    done = typed(project, "registry", "list", MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 1 and "127.0.0.1:1" in done.stderr
    assert not any(part in done.stdout + done.stderr for part in ("hun", "2x", "me:"))


def test_an_error_that_nobody_foresaw_shows_no_login(project):
    program = (
        "import sys; from genarm.cli import main as cli\n"
        "def app(): raise RuntimeError('at http://me:hunter2@host/?key=1 with Bearer abcdefghijk')\n"
        "cli.app = app; cli.main()"
    )
    for words in ([], ["--debug"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1 and "RuntimeError: at http://host/ with Bearer ***" in done.stderr
        assert "report it" in done.stderr and "hunter2" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
    ],
    ids=str,
)
def test_a_folder_of_any_letters_works_in_any_locale(locale, tmp_path):
    folder = tmp_path / "prøjekt 日本"
    assert typed(tmp_path, "init", str(folder), **locale).returncode == 0
    planned = typed(folder, "plan", "--json", **locale)
    assert planned.returncode == 1 and "no preference data yet" in planned.stderr
    assert json.loads(planned.stdout)[0]["stage"]
    assert typed(folder, "registry", "list", "--json", **locale).stdout == "[]\n"
    assert (folder / "mlflow" / "mlflow.db").is_file()
    assert "UnicodeEncodeError" not in typed(folder, "doctor", **locale).stderr

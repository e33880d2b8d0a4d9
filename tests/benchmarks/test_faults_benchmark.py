"""The campaign of faults: deaths are real, what they leave is counted, and the table shows it."""

import json
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest
from ruamel.yaml import YAML

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its files are scripts, found beside one another

from faults import EXPERIMENTS, options  # noqa: E402
from faults_child import Death, in_child  # noqa: E402
from faults_counts import COLUMNS, LEGEND, Counts, flat, markdown, table  # noqa: E402
from faults_damage import BY_HAND  # noqa: E402
from faults_project import DIMENSION, Ended  # noqa: E402
from faults_state import compare  # noqa: E402

from genarm.errors import DataError  # noqa: E402
from genarm.system.files import write_text  # noqa: E402


def test_an_experiment_runs_from_the_shell(tmp_path):
    """The exit code says whether all columns but the first are 0."""
    command = [sys.executable, str(BENCHMARKS / "faults.py"), "--quick", "--only=rows", "--seed=3"]
    done = subprocess.run([*command, f"--json={tmp_path / 'f.json'}"], capture_output=True, text=True)
    figures = json.loads((tmp_path / "f.json").read_text())
    failed = any(value for key, value in figures.items() if key not in ("rows_tried", "kills"))
    assert done.returncode == int(failed), done.stderr
    assert set(figures) == {f"rows_{column}" for column in COLUMNS} | {"kills"}
    assert figures["rows_tried"] > 500 and figures["kills"] == 0
    assert "seed 3" in done.stdout and "malformed rows" in done.stdout


def test_a_child_dies_before_the_write_that_it_is_told(tmp_path):
    def work() -> str:
        for name in ("a", "b"):
            write_text(tmp_path / name, name)
        return "done"

    whole = in_child(work, root=tmp_path, seconds=20)
    assert whole.value == "done" and whole.writes == 8 and not whole.killed, "folder, open, rename, remove"
    for file in tmp_path.iterdir():
        file.unlink()
    died = in_child(work, root=tmp_path, seconds=20, die=Death(6))
    assert died.killed and died.writes == 6
    assert [f.name for f in tmp_path.iterdir() if not f.name.startswith(".")] == ["a"]


def test_what_is_damaged_by_hand_is_what_a_stage_writes():
    """A file that no stage writes any more would end the campaign in its middle."""
    stages = YAML(typ="safe").load((BENCHMARKS.parent / "dvc.yaml").read_text())["stages"].values()
    every = [stage.get("do", stage) for stage in stages]
    entries = [e for s in every for kind in ("outs", "metrics", "plots") for e in s.get(kind, ())]
    written = {e if isinstance(e, str) else next(iter(e)) for e in entries}
    damaged = [PurePosixPath("artifacts", n.replace(DIMENSION, "${key}")) for n in BY_HAND if n[:2] != ".."]
    assert [str(f) for f in damaged if written.isdisjoint({str(f), str(f.parent)})] == []


def test_how_a_child_ended_is_told_apart(tmp_path):
    def refuse() -> None:
        raise DataError("no", hint="yes")

    def crash() -> None:
        raise ValueError("no")

    refused, crashed = (in_child(work, root=tmp_path, seconds=20) for work in (refuse, crash))
    assert refused.kind == "DataError" and refused.hint == "yes" and not refused.crashed
    assert crashed.crashed and "ValueError" in crashed.trace
    assert in_child(lambda: time.sleep(30), root=tmp_path, seconds=0.3).hung


def test_a_command_that_fails_has_told_or_has_crashed():
    told = Ended(1, "Traceback ...\n  of a log\nerror: no data\nhint: genarm data SOURCE\n", 1.0)
    assert told.told and not told.crashed
    for output in (
        "",
        "error: no data\n",
        "error: a\nhint: b\nerror: c\nTraceback (most recent call last)\n",
    ):
        assert Ended(1, output, 1.0).crashed
    assert not Ended(0, "", 1.0).crashed and Ended(None, "", 1.0).hung


def test_what_is_missing_is_lost_and_what_is_more_is_double():
    expected = {"versions": ["a", "b"], "trail": ["promote FINISHED"], "aliases": {"champion": 2}}
    counts = Counts()
    assert compare(counts, expected, expected, "nothing")
    compare(counts, expected, expected | {"versions": ["a"]}, "a version")
    compare(counts, expected, expected | {"trail": ["promote FINISHED"] * 2}, "a promotion")
    compare(counts, expected, expected | {"aliases": {"champion": 1}}, "the champion")
    assert (counts.lost, counts.double) == (2, 1) and len(counts.notes) == 3


def test_the_table_has_a_line_an_experiment_and_the_file_a_key_a_cell():
    good, bad = Counts(tried=7, kills=7), Counts(tried=2)
    bad.note("silent", "a row")
    figures = {"kills": good, "rows": bad, "disk": Counts(skipped="mounting is not allowed")}
    titles = {name: title for name, (title, _) in EXPERIMENTS.items()}
    assert flat(figures)["rows_silent"] == 1 and flat(figures)["kills"] == 7
    assert not [key for key in flat(figures) if key.startswith("disk")]
    assert table(figures, titles).row_count == 3 and set(LEGEND) == set(COLUMNS)
    assert "| malformed rows of every format | 2 | 0 | 0 | 0 | 0 | 1 |" in markdown(figures, titles)
    assert bad.failed and not good.failed


def test_an_experiment_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit):
        options(["--only=kill"])
    assert "no experiment 'kill'" in capsys.readouterr().err
    assert options(["--only=rows,kills"]).only == ["rows", "kills"]
    assert all((BENCHMARKS / f"{where.split(':')[0]}.py").is_file() for _, where in EXPERIMENTS.values())

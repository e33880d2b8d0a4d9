"""The command line: what a person sees when it goes wrong, and what a machine reads when it goes right."""

import errno
import json
import os
import socket

import pytest

from genarm.cli import main as cli
from genarm.errors import Busy, DataError, RegistryError, StaleDecision
from genarm.models import arm as arms
from genarm.pipeline.plan import steps
from genarm.system.files import write_json, write_rows
from genarm.system.layout import Layout
from genarm.types import ArmCard, Champion, Message, Prompt, Response

PARAMS = """
base: {model: nowhere}
dimensions: [length, brief]
pairs: {sources: {length: {files: a}, brief: {files: b}}}
train: {default: {}, length: {}, brief: {}}
respond: {weights: {length: 1, brief: 1}}
judge: {length: {scorer: length}, brief: {scorer: brief}}
decide: {margin: 0.15}
"""
PROMPTS = [Prompt((Message("user", f"question {i}"),)) for i in range(30)]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with parameters; the process's own environment comes back afterwards."""
    kept = dict(os.environ)
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def run(project, monkeypatch, capsys):
    """Exit code, standard output and standard error of a command."""

    def typed(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["genarm", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return typed


@pytest.fixture
def answered(project):
    """`length` has a challenger that says more than the base; `brief` is the version in use, and unasked."""
    layout = Layout(project)
    for dimension in ("length", "brief"):
        folder = layout.arm(dimension)
        folder.mkdir(parents=True)
        (folder / arms.CONFIG).write_text("{}")
        (folder / arms.WEIGHTS).write_bytes(dimension.encode())
        arms.write_card(
            folder, ArmCard(dimension, "b", None, "w", "b", None, "t", "", 0.1, 1.0, "p", None, None)
        )
        write_json(layout.train_metrics(dimension), {"accuracy": 0.7})
        layout.train_curves(dimension).write_text("step,loss\n1,0.7\n")
    used = Champion(4, "m-4", arms.adapter_hash(layout.arm("brief")), 1.0)
    write_json(layout.champions, {"length": None, "brief": used})
    write_json(layout.pairs_stats, {})
    write_rows(layout.quarantine, [])
    write_rows(layout.prompts, PROMPTS)
    for side, text in (("base", "short"), ("challenger", "a good deal longer")):
        rows = [Response(p.id, text, len(text), "stop", -3.0, 0.1) for p in PROMPTS]
        write_rows(layout.responses(side, None if side == "base" else "length"), rows)
    write_rows(layout.responses("champion", "length"), [])
    return layout


@pytest.mark.parametrize(
    "words",
    [
        ("train", "lenght"),
        ("respond", "champion", "lenght"),
        ("judge", "lenght"),
        ("registry", "show", "lenght"),
        ("registry", "promote", "lenght"),
        ("registry", "rollback", "lenght", "--reason", "worse"),
    ],
    ids=" ".join,
)
def test_an_unknown_dimension_is_told_with_the_nearest(words, run, project):
    write_json(Layout(project).champions, {})
    write_rows(Layout(project).prompts, PROMPTS)
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert "error: unknown dimension 'lenght' (did you mean 'length'?)" in err
    assert "hint: dimensions in params.yaml: length, brief" in err
    assert not (project / "mlflow" / "mlflow.db").exists(), "a slip of the finger makes no registry"


def test_a_misspelt_key_is_told_with_the_nearest(run, project):
    (project / "params.yaml").write_text(PARAMS.replace("margin", "marign"))
    code, _, err = run("decide")
    assert code == 1 and "unknown key 'decide.marign' (did you mean 'margin'?)" in err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("respond", "chalenger", "length"), 2, "'challenger'"),
        (("respond", "challenger"), 1, "genarm respond challenger needs a dimension"),
        (("registry", "rollback", "length"), 2, "--reason"),
        (("judge", "length"), 1, "run the stage that writes it: dvc repro"),
    ],
)
def test_what_is_missing_or_wrong_is_named(words, code, told, run):
    found, _, err = run(*words)
    assert found == code and told in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StaleDecision("moved"), 3),
        (Busy("held"), 4),
        (RegistryError("gone"), 1),
        (DataError("bad [0, 1]", hint="mend [it]"), 1),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (PermissionError(errno.EACCES, "Permission denied", "artifacts/x"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_end_has_its_exit_code_and_one_line(error, code, run, monkeypatch):
    def broken() -> None:
        raise error

    monkeypatch.setattr(cli, "app", broken)
    found, out, err = run()
    assert (found, out) == (code, "")
    assert all(
        part in err for part in (str(v) for v in (getattr(error, "message", ""), getattr(error, "hint", "")))
    )
    assert "Traceback" not in err and len(err.splitlines()) <= 2


def test_an_error_of_ours_is_not_hidden_as_one_of_the_disk(run, monkeypatch):
    def broken() -> None:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(cli, "app", broken)
    monkeypatch.setattr("sys.argv", ["genarm"])
    with pytest.raises(ConnectionResetError):
        cli.main()


def test_a_folder_that_cannot_be_written_is_named(run, answered):
    answered.verdicts("length").parent.write_text("in the way")
    code, _, err = run("judge", "length")
    assert code == 1 and "artifacts/verdicts" in err and "permissions" in err and "Traceback" not in err


def test_what_is_printed_for_machines_parses_and_is_what_the_stage_wrote(run, answered):
    """And a dimension whose ARM is in use is `same`, though nothing has been answered for it."""
    code, out, _ = run("judge", "length", "--json")
    verdicts = json.loads(out)
    assert code == 0 and len(verdicts) == 2 * len(PROMPTS)
    assert verdicts == [json.loads(line) for line in answered.verdicts("length").read_text().splitlines()]
    code, out, _ = run("decide", "--json")
    decisions = {d["dimension"]: d for d in json.loads(out)}
    assert code == 0 and decisions == json.loads(answered.decisions.read_text())
    assert {name: d["outcome"] for name, d in decisions.items()} == {"length": "reject", "brief": "same"}
    code, out, _ = run("report")
    assert code == 0 and out.strip().endswith("report.html")
    page = (answered.report / "report.html").read_text()
    assert "length rejected" in page and "brief unchanged" in page


def test_the_plan_leaves_out_what_would_measure_an_arm_in_use():
    upstream = {"pairs": [], "respond-champion@a": ["pairs"], "respond-champion@b": ["pairs"],
                "train@a": ["pairs"], "train@b": ["pairs"], "judge@a": ["train@a", "respond-champion@a"],
                "judge@b": ["train@b", "respond-champion@b"], "decide": ["judge@a", "judge@b"]}  # fmt: skip
    promoted = {
        f"respond-champion@{d}": [{"changed deps": {"mlflow/champions.json": "modified"}}] for d in "ab"
    }

    def running(*in_use: str) -> set[str]:
        return {name for name, step in steps(promoted, upstream, in_use).items() if step.runs}

    everything = {"respond-champion@a", "respond-champion@b", "judge@a", "judge@b", "decide"}
    assert running() == everything
    assert running("a") == {"respond-champion@b", "judge@b", "decide"}
    assert running("a", "b") == set()


def test_a_prefect_server_that_is_away_is_told_before_anything_starts(run, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free.getsockname()[1]}/api")
        code, _, err = run("run")
    assert code == 1 and "does not answer" in err and "unset PREFECT_API_URL" in err

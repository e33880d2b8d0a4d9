"""The command line: what a person sees when it goes wrong, and what a machine reads when it goes right."""

import errno
import io
import json
import os
import socket
import warnings

import pytest
from cli_toys import PARAMS, PROMPTS
from rich.console import Console
from rich.markup import escape

from genarm.cli import console
from genarm.cli import main as cli
from genarm.errors import Busy, DataError, RegistryError, StaleDecision
from genarm.pipeline.plan import PlannedStage
from genarm.pipeline.plan import render as render_plan
from genarm.report.closing import closing_block, decisions_table
from genarm.system.files import write_json, write_rows
from genarm.system.layout import Layout
from genarm.system.verbosity import LEVEL
from genarm.types import Decision


@pytest.mark.parametrize(
    "words",
    [
        ("train", "lenght"),
        ("tune", "lenght"),
        ("respond", "champion", "lenght"),
        ("judge", "lenght"),
        ("registry", "show", "lenght"),
        ("registry", "promote", "lenght"),
        ("registry", "rollback", "lenght", "--reason", "worse"),
    ],
    ids=" ".join,
)
def test_an_unknown_dimension_is_told_with_the_nearest(words, run, project):
    write_json(Layout(project).incumbents, {})
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


def test_the_parameters_of_one_dimension_are_asked_for_by_its_name(run):
    code, out, _ = run("params", "dimensions.length.weight", "--json")
    [key] = json.loads(out)
    assert code == 0 and key["path"] == "dimensions.<name>.weight" and "length: " in key["value"]
    assert run("params", "dimensions.<name>.weight", "--json")[1] == out
    code, _, err = run("params", "dimensions.lenght.weight")
    assert code == 1 and "unknown dimension 'lenght' (did you mean 'length'?)" in err


def test_the_longest_keys_leave_room_for_their_meaning(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    heads = run("params", "dimensions")[1].splitlines()[0].split("┃")
    assert heads[2].strip() == "meaning" and len(heads[2]) >= 25, heads


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


def test_text_that_looks_like_markup_is_shown_as_it_is(capsys):
    odd = "worse [/see] [bold] #12 at 10:b:20"
    console.show([{"version": 2, "blocked": odd}], as_json=False)
    console.out.print(decisions_table([Decision("length", "reject", [odd], "c", None)]))
    console.out.print(render_plan([PlannedStage("pairs", True, odd)]))
    console.err.print(escape(odd))
    said = capsys.readouterr()
    assert said.out.count(odd) == 3 and " yes " in said.out and said.err.strip() == odd


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


def test_a_prefect_server_that_is_away_is_told_before_anything_starts(run, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free.getsockname()[1]}/api")
        code, _, err = run("run")
    assert code == 1 and "does not answer" in err and "unset PREFECT_API_URL" in err


@pytest.mark.parametrize(
    ("typed", "level"),
    [
        ("judge length -v", "verbose"),
        ("--quiet judge length", "quiet"),
        ("judge length --json -q", "quiet"),
        ("judge length", "normal"),
    ],
)
def test_how_much_is_told_may_be_said_before_or_after_the_command(typed, level, run, answered, monkeypatch):
    monkeypatch.delenv(LEVEL, raising=False)
    with warnings.catch_warnings():
        code, _, err = run(*typed.split())
    assert (code, err) == (0, "") and os.environ[LEVEL] == level


def test_the_help_names_the_exit_codes_and_contrary_options_are_wrong_usage(run):
    code, out, _ = run("--help")
    said = " ".join(out.split())
    assert (
        code == 0 and "0 done, whatever was decided" in said and "3 the champion changed in the mean" in said
    )
    code, _, err = run("decide", "-v", "-q")
    assert code == 2 and "exclude each other" in err


def test_numbers_of_a_stage_are_a_table_and_not_a_python_dict(capsys):
    stats = {"rows": 30, "splits": {"train": {"pairs": 9, "longer_is_chosen": 0.5123456}}, "refused": {}}
    console.show(stats, as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["rows", "30"],
        ["splits.train.pairs", "9"],
        ["splits.train.longer_is_chosen", "0.5123"],
    ]


@pytest.mark.parametrize("width", [60, 80])
def test_tables_fold_between_words_and_commands_do_not_fold(width, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shown = Console(file=io.StringIO(), width=width)
    why = "harmlessness: win rate 0.70 [0.62, 0.78] n=120 over base, adjusted p 4.1e-06 < 0.01"
    shown.print(decisions_table([Decision("harmlessness", "promote", [why], "c", None)]))
    shown.print(
        render_plan([PlannedStage("respond-champion@harmlessness", True, "after pairs@harmlessness")])
    )
    text = shown.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    assert all(word in text for word in (*why.split(), "respond-champion@harmlessness", "promote", "after"))
    shown.print(closing_block(tmp_path, 12.3), soft_wrap=True)
    last = shown.file.getvalue().splitlines()[-5:]
    assert [line.split()[0] for line in last] == ["took", "report", "mlflow", "prefect", "talk"]

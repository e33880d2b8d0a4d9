"""What `genarm run` shows of the log of its flow: lines for a reader, and all of it with `-v`."""

import io
import json
import logging
from dataclasses import asdict

import pytest
from genarm.flows import run_console
from genarm.flows.run_console import RunConsole, following, install, told
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.logging.loggers import PrefectLogAdapter
from rich.console import Console

from genarm.system.progress import NOTE, PROGRESS, Step
from genarm.system.verbosity import LEVEL


@pytest.fixture
def console(monkeypatch):
    """The console in place, and the loggers of a flow run and of one of its tasks."""
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    root.addHandler(PrefectConsoleHandler())
    install(names=12)
    for name in run_console.RUNS:
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])  # no server takes the log
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
        monkeypatch.setattr(logging.getLogger(name), "level", logging.INFO)
    yield root.handlers[-1]
    root.handlers = handlers


@pytest.fixture
def task(console, monkeypatch):
    log = PrefectLogAdapter(logging.getLogger("prefect.task_runs"), {"task_run_name": "train kind"})
    monkeypatch.setattr(run_console, "get_run_logger", lambda: log)
    return log


def test_it_takes_the_place_of_prefects(console):
    handlers = logging.getLogger().handlers
    assert isinstance(console, RunConsole) and sum(isinstance(h, RunConsole) for h in handlers) == 1
    assert not any(isinstance(h, PrefectConsoleHandler) for h in handlers)


def test_a_reader_sees_what_is_told_and_warnings_in_columns(task, capsys):
    flow = PrefectLogAdapter(logging.getLogger("prefect.flow_runs"), {"flow_run_name": "align"})
    flow.info("Beginning flow run 'align'")
    flow.info("pairs kind: unchanged", **told("pairs kind"))
    task.info("Running stage 'train@kind':")
    task.info("400 pairs, 128 s", **told())
    task.warning("the server is away", **told())
    task.error("Finished in state Failed()")  # the command tells the error itself
    assert capsys.readouterr().err.splitlines() == [
        "pairs kind        unchanged",
        "train kind        400 pairs, 128 s",
        "train kind        warning: the server is away",
    ]


@pytest.mark.parametrize(("level", "lines"), [("quiet", 1), ("verbose", 3)])
def test_the_level_leaves_more_or_less(level, lines, task, capsys, monkeypatch):
    monkeypatch.setenv(LEVEL, level)
    task.info("Running stage 'train@kind':")
    task.info("400 pairs", **told())
    task.warning("mind this", **told())
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == lines and "warning: mind this" in shown[-1]


def test_a_narrow_terminal_folds_between_words_below_the_text(console, task):
    console.console = Console(file=io.StringIO(), width=40, force_terminal=True, highlight=False)
    task.info("400 pairs, validation accuracy 0.55 (0.42 before), 128 s", **told())
    lines = console.console.file.getvalue().splitlines()
    assert [line.strip() for line in lines] == [
        "train kind        400 pairs, validation",
        "accuracy 0.55 (0.42",
        "before), 128 s",
    ]
    assert lines[1].startswith(" " * 18) and all(len(line) <= 40 for line in lines)


def test_the_output_of_a_stage_is_its_log_and_its_progress_comes_now_and_then(task, capsys, monkeypatch):
    step = PROGRESS + json.dumps(asdict(Step(13, 50, "steps", "loss 0.73", 95)))
    with following("train kind") as stage:
        stage.line(step)
        for line in ("> genarm train kind", f"{NOTE}resumes at step 12", "warning: 3 pairs are too long"):
            stage.line(line)
        monkeypatch.setattr(run_console, "SECONDS_BETWEEN_LINES", 0.0)
        stage.line(step)
    assert [line.removeprefix("train kind").strip() for line in capsys.readouterr().err.splitlines()] == [
        "resumes at step 12",
        "warning: 3 pairs are too long",
        "13 of 50 steps, 95 s left, loss 0.73",
    ]

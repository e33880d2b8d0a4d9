"""Progress where there is no terminal, on one, and as a run reads it from a stage."""

import io

import pytest
from rich.console import Console

from genarm.system import progress
from genarm.system.progress import LINES, Bar, ProgressDisplay, Step, counting, read_line
from genarm.system.verbosity import LEVEL

STEP = Step(13, 50, "steps", "2.6 pairs/s, loss 0.73", 95.2)


def count_to_three(title: str) -> None:
    with counting(title, 20, "tokens") as advance:
        for _ in range(3):
            advance(1)


def test_elsewhere_than_on_a_terminal_a_line_comes_now_and_then(capsys, monkeypatch):
    count_to_three("respond")
    assert capsys.readouterr().err == "", "not even one within half a minute"
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    count_to_three("respond")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and lines[0].startswith("respond: 1 of 20 tokens at most, ")
    monkeypatch.setenv(LEVEL, "quiet")
    count_to_three("respond")
    assert capsys.readouterr().err == ""


def test_a_run_reads_what_its_stage_hands_on(capsys, monkeypatch):
    monkeypatch.setenv(LINES, "1")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_RELAYED", 0.0)
    display = ProgressDisplay("train kind")
    display.show(STEP)
    display.say("resumes at step 12 of 50")
    shown, said = capsys.readouterr().err.splitlines()
    assert read_line(shown) == STEP and said == "note: resumes at step 12 of 50"
    assert str(STEP) == "13 of 50 steps, 95 s left, 2.6 pairs/s, loss 0.73"


@pytest.mark.parametrize("line", ["step 13 of 50", "progress: {", 'progress: {"done": 1}', "progress: 7"])
def test_any_other_line_is_no_progress(line):
    assert read_line(line) is None


@pytest.mark.parametrize("width", [50, 60, 80])
def test_a_bar_keeps_to_one_line_and_its_title_whole(width):
    written = io.StringIO()
    bar = Bar("respond champion positive", Console(file=written, width=width, force_terminal=True))
    bar.start()
    bar.show(STEP)
    bar._progress.refresh()
    shown = bar._progress.console.render_lines(bar._progress.get_renderable())
    bar.close()
    (line,) = ("".join(segment.text for segment in row) for row in shown)
    assert line.startswith("respond champion positive") and "\x1b[" in written.getvalue()
    assert ("13 of 50 steps" in line) is (width >= 80) and "…" not in line

"""What a run shows on the console: one line a stage, how far the one under way is, and what needs attention.

Prefect's log keeps everything, on the page of the run. On the console of `genarm run` it would bury what a
person looks for, so there Prefect's own handler makes way for this one. Runs that a worker or
`genarm.flows.deploy` starts have no reader at a terminal, and keep Prefect's.
"""

import logging
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import get_run_logger
from prefect.logging.handlers import PrefectConsoleHandler

from genarm.system.progress import NOTE, SECONDS_BETWEEN_LINES, Bar, Step, read_line
from genarm.system.verbosity import ConsoleLog, Verbosity, verbosity

TOLD = "genarm_told"  # on a record: whom the line is about, where that is not the task
RUNS = ("prefect.flow_runs", "prefect.task_runs")
NAMES = 16  # columns that the names take at least
WARNING = "warning: "  # start of a line of a stage, as ConsoleLog writes it


class RunConsole(ConsoleLog):
    """The console of a run: told lines, warnings and errors; with `VERBOSE` everything, with its time."""

    def __init__(self, names: int = NAMES) -> None:
        super().__init__()
        self.names = max(NAMES, names)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record as `train positive    400 pairs, validation accuracy 0.55, 128 s`."""
        if not self.is_shown(record):
            return
        subject = getattr(record, TOLD, "") or getattr(record, "task_run_name", "")
        text = self.format(record).removeprefix(f"{subject}: ")
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.lower()}: {text}"
        line = f"{subject:<{self.names}}  {text}" if subject else text
        if verbosity() is Verbosity.VERBOSE:
            line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))}  {line}"
        elif self.console.is_terminal:  # in a file each remains one line
            hang = " " * (self.names + 2 if subject else 0)
            line = textwrap.fill(line, self.console.width, subsequent_indent=hang, break_long_words=False)
        self.console.print(line, soft_wrap=True)

    def is_shown(self, record: logging.LogRecord) -> bool:
        """Of the log of the run only what is told and our warnings: its errors are those of the command."""
        if verbosity() is Verbosity.VERBOSE or record.name not in RUNS:
            return super().is_shown(record)
        if record.levelno >= logging.WARNING:
            return hasattr(record, TOLD)
        return hasattr(record, TOLD) and verbosity() is Verbosity.NORMAL


def install(names: int = NAMES) -> None:
    """Put this console in the place of Prefect's. `names` is the width of the longest name of a task."""
    root = logging.getLogger()
    ours = (PrefectConsoleHandler, ConsoleLog)
    root.handlers = [h for h in root.handlers if not isinstance(h, ours)] + [RunConsole(names)]


def told(subject: str = "") -> dict[str, Any]:
    """Keywords for a logger's methods: the line is one of those that a person at the console reads."""
    return {"extra": {TOLD: subject}}


class StageOutput:
    """The output of a stage under way: it is logged, its progress is shown, its warnings are told."""

    def __init__(self, title: str) -> None:
        self._log = get_run_logger()
        self._title = title
        self._console = next((h for h in logging.getLogger().handlers if isinstance(h, RunConsole)), None)
        self._bar: Bar | None = None
        self._shown = time.monotonic()

    def start(self) -> None:
        """Show a bar, where there is a terminal."""
        if self._console:
            self._bar = Bar(self._title, self._console.console)
            self._bar.start()

    def line(self, line: str) -> None:
        """Take one line of the stage's output."""
        if (step := read_line(line)) is not None:
            self._progress(step)
        elif line.startswith(NOTE):
            self._log.info(line.removeprefix(NOTE), **told())
        elif line.startswith(WARNING):
            self._log.warning(line.removeprefix(WARNING), **told())
        else:
            self._log.info(line)

    def _progress(self, step: Step) -> None:
        if self._bar:
            self._bar.show(step)
        now = time.monotonic()
        if now - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = now
            on_terminal = self._console is not None and self._console.console.is_terminal
            self._log.info(str(step), **({} if on_terminal else told()))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.close()


@contextmanager
def following(title: str) -> Iterator[StageOutput]:
    """Show a stage while it is under way."""
    output = StageOutput(title)
    try:
        output.start()  # an interrupt right here must not leave the bar moving
        yield output
    finally:
        output.close()

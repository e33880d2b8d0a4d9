"""Progress on standard error: a bar on a terminal, a line now and then elsewhere.

A stage that a run started has no terminal. `LINES` in its environment makes it hand on its progress as lines
that the run reads with `read_line` and shows as its own.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from textwrap import shorten

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from genarm.system.verbosity import Verbosity, verbosity

LINES = "GENARM_PROGRESS_LINES"
PROGRESS, NOTE = "progress: ", "note: "  # starts of lines
BAR = 12  # columns
SECONDS_BETWEEN_LINES = 30.0
SECONDS_BETWEEN_RELAYED = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """How far something is: `done` of at most `total` units; `left` seconds are expected, if known."""

    done: int
    total: int
    unit: str
    note: str = ""
    left: float | None = None

    def __str__(self) -> str:
        """As a line of a log has it: `13 of 50 steps, 95 s left, 2.6 pairs/s, loss 0.73`."""
        left = "" if self.left is None else f"{self.left:.0f} s left"
        return ", ".join(
            part for part in (f"{self.done} of {self.total} {self.unit}", left, self.note) if part
        )


def read_line(line: str) -> Step | None:
    """The progress that a line of a stage's output hands on; None for any other line."""
    if not line.startswith(PROGRESS):
        return None
    try:
        return Step(**json.loads(line.removeprefix(PROGRESS)))
    except (ValueError, TypeError):  # cut short, or somebody else's
        return None


class Bar:
    """A bar on a terminal, removed when it is closed; nothing elsewhere, or where quiet is asked for."""

    def __init__(self, title: str, console: Console) -> None:
        self._note = max(0, console.width - len(title) - BAR - len(" 0:00:00  "))  # columns that are left
        shown = console.is_terminal and verbosity() is not Verbosity.QUIET
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=BAR),  # it moves to and fro while it is not known how far it is
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True)),
            console=console,
            transient=True,
            disable=not shown,
        )
        self._task = self._progress.add_task(title, total=None, note="")

    def start(self) -> None:
        """Draw the bar."""
        self._progress.start()

    def show(self, step: Step) -> None:
        """Move the bar."""
        note = shorten(str(step), self._note, placeholder="") if self._note else ""
        self._progress.update(self._task, completed=step.done, total=step.total, note=note.rstrip(","))

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()


class ProgressDisplay:
    """The progress of one piece of work as a bar, as lines for a reader, or as lines for a run to read."""

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self._title = title
        self._for_a_run = LINES in os.environ
        self._console = Console(stderr=True, markup=False, emoji=False, highlight=False, quiet=quiet)
        self._bar: Bar | None = None
        self._shown = time.monotonic()

    def show(self, step: Step) -> None:
        """Say how far it is; lines come only so often."""
        if self._console.is_terminal and not self._console.quiet and not self._for_a_run:
            if self._bar is None:
                self._bar = Bar(self._title, self._console)
                self._bar.start()
            self._bar.show(step)
            return
        now, pause = time.monotonic(), SECONDS_BETWEEN_RELAYED if self._for_a_run else SECONDS_BETWEEN_LINES
        if now - self._shown < pause:
            return
        self._shown = now
        if self._for_a_run:
            self._console.print(PROGRESS + json.dumps(asdict(step)), soft_wrap=True)
        elif verbosity() is not Verbosity.QUIET:
            self._console.print(f"{self._title}: {step}", soft_wrap=True)

    def say(self, message: str) -> None:
        """Show a message beside the bar."""
        start = NOTE if self._for_a_run else f"{self._title}: "
        self._console.print(f"{start}{message}", soft_wrap=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.close()
            self._bar = None


@contextmanager
def counting(title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Yields a function that takes how many more of at most `total` units are done."""
    display, done, began = ProgressDisplay(title), 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done
        done += count
        left = (time.monotonic() - began) / max(1, done) * (total - done)
        display.show(Step(done, total, f"{unit} at most", left=left))

    try:
        yield advance
    finally:
        display.close()

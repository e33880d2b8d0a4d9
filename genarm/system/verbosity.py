"""How much a command tells on standard error: the level that is asked for, and the log that keeps to it.

The level stands in the environment, so that the stages that a run starts keep to it too.
"""

import logging
import os
import sys
import warnings
from enum import StrEnum

from rich.console import Console

LEVEL = "GENARM_LOG"


class Verbosity(StrEnum):
    """What is told beside a command's result."""

    QUIET = "quiet"  # what went wrong
    NORMAL = "normal"  # what was done, and how far it is
    VERBOSE = "verbose"  # all that genarm, Prefect, DVC and the libraries have to say


def verbosity() -> Verbosity:
    """The level of this process; a word that is none counts as normal."""
    asked = os.environ.get(LEVEL, "")
    return Verbosity(asked) if asked in [*Verbosity] else Verbosity.NORMAL


class ConsoleLog(logging.Handler):
    """A log on standard error: our warnings and anybody's errors, or with `VERBOSE` all from INFO up.

    What libraries warn of concerns developers, such as a default that will change in their next version.
    """

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(stderr=True, markup=False, emoji=False, highlight=False)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, if the level lets it."""
        if self.is_shown(record):
            word = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
            self.console.print(f"{word}{self.format(record)}", soft_wrap=True)

    def is_shown(self, record: logging.LogRecord) -> bool:
        """Whether the level of this process shows a record."""
        if verbosity() is Verbosity.VERBOSE:
            return record.levelno >= logging.INFO
        return record.levelno >= (logging.WARNING if is_ours(record) else logging.ERROR)


def is_ours(record: logging.LogRecord) -> bool:
    """Whether genarm itself logged a record."""
    return record.name.partition(".")[0] == "genarm"


def keep_to(level: Verbosity) -> None:
    """Make a level that of this process and of those it starts. Called before libraries are imported."""
    os.environ[LEVEL] = level
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, ConsoleLog)] + [ConsoleLog()]
    if level is Verbosity.VERBOSE:
        root.setLevel(logging.INFO)
    elif not sys.warnoptions:  # `python -W` and PYTHONWARNINGS ask for them
        warnings.simplefilter("ignore")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

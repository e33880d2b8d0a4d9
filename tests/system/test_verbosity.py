"""What reaches standard error at each level, and from whom."""

import logging
import os
import warnings

import pytest

from genarm.system.verbosity import LEVEL, ConsoleLog, Verbosity, keep_to, verbosity


@pytest.fixture(autouse=True)
def logging_as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with warnings.catch_warnings():
        yield
    root.handlers, root.level = handlers, level


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (Verbosity.NORMAL, ["warning: row 3 is odd", "error: lost"]),
        (Verbosity.QUIET, ["warning: row 3 is odd", "error: lost"]),
        (Verbosity.VERBOSE, ["warning: row 3 is odd", "reading", "warning: deprecated", "error: lost"]),
    ],
)
def test_a_user_sees_our_warnings_and_anybodys_errors(level, shown, capsys):
    keep_to(level)
    keep_to(level)  # a second handler would say everything twice
    assert verbosity() is level and os.environ[LEVEL] == level
    logging.getLogger("genarm.data").warning("row %d is odd", 3)
    logging.getLogger("library").info("reading")
    logging.getLogger("library").warning("deprecated")
    logging.getLogger("library").error("lost")
    assert capsys.readouterr().err.splitlines() == shown


def test_what_libraries_warn_of_is_kept_to_verbose(recwarn):
    keep_to(Verbosity.NORMAL)
    warnings.warn("this default will change", FutureWarning, stacklevel=1)
    assert not recwarn.list and os.environ["TRANSFORMERS_VERBOSITY"] == "error"


def test_a_level_that_is_none_counts_as_normal(monkeypatch):
    monkeypatch.setenv(LEVEL, "loud")
    assert verbosity() is Verbosity.NORMAL
    assert sum(isinstance(h, ConsoleLog) for h in logging.getLogger().handlers) <= 1

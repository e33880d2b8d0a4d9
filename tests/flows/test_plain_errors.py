"""What Prefect's log says of an error: the message and the way out of ours, the traceback of any other."""

import io
import logging

import pytest
from genarm.flows.plain_errors import log_plainly

from genarm.errors import DataError


@pytest.fixture
def log(monkeypatch):
    """Prefect's own logger, and what it writes."""
    log_plainly()
    log_plainly()
    written, logger = io.StringIO(), logging.getLogger("prefect.flow_runs")
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(written)])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "disabled", False)
    return logger, written


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (DataError("a.jsonl is empty", hint="mend it"), ["a.jsonl is empty; hint: mend it"]),
        (KeyError("a"), None),
    ],
)
def test_an_error_of_ours_is_one_line(error, lines, log):
    logger, written = log
    try:
        raise error
    except Exception as caught:
        logger.exception("Encountered exception during execution: %r", caught)
    text = written.getvalue()
    assert text.splitlines() == lines if lines else "Traceback" in text

"""What Prefect's log says of an error: the message and the way out of ours, the traceback of any other."""

import logging

import pytest
from genarm.flows.plain_errors import log_plainly

from genarm.errors import DataError


@pytest.fixture
def logger():
    """Prefect's own, which lets nothing through to other handlers."""
    log_plainly()
    log_plainly()
    logger = logging.getLogger("prefect.flow_runs")
    kept, logger.propagate = logger.propagate, True
    yield logger
    logger.propagate = kept


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (DataError("a.jsonl is empty", hint="mend it"), ["a.jsonl is empty; hint: mend it"]),
        (KeyError("a"), None),
    ],
)
def test_an_error_of_ours_is_one_line(error, lines, logger, caplog):
    try:
        raise error
    except Exception as caught:
        logger.exception("Encountered exception during execution: %r", caught)
    (record,) = caplog.records
    text = logging.Formatter("%(message)s").format(record)
    assert text.splitlines() == lines if lines else "Traceback" in text

"""Errors of genarm in Prefect's log: their message and the way out, without the traceback.

Prefect logs whatever ends a flow or task with its traceback, which says nothing to the person whose file is
damaged or whose server is away. Errors that nobody foresaw keep theirs.
"""

import logging

from genarm.errors import GenarmError
from genarm.system.redact import redact

LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def log_plainly() -> None:
    """Leave the tracebacks of genarm's own errors out of the log of this process's runs."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(without_traceback)  # one that is there already is not added again


def without_traceback(record: logging.LogRecord) -> bool:
    """Turn the record of an error of ours into one line; all others stay as they are."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, GenarmError):
        record.msg, record.args = redact(str(error)), ()
        record.exc_info, record.exc_text = None, None
    return True

"""Loading a model by transformers without what it prints about it, wherever that is checked and told here."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No progress bar, since loading takes a second, and no table of missing tensors: a line says it."""
    from transformers.utils import logging as their_logging

    their_logging.disable_progress_bar()
    report = logging.getLogger("transformers.modeling_utils")
    report.addFilter(_is_no_load_report)
    try:
        yield
    finally:
        report.removeFilter(_is_no_load_report)


def _is_no_load_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()

"""What people prefer as a source: `feedback://DIMENSION`, the votes of the store that `feedback.store` names.

It is asked for the number of votes and the last of them, and read up to that one, whoever votes meanwhile.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genarm.config import FeedbackConfig
from genarm.config.feedback import SCHEME, feedback_file
from genarm.errors import ConfigError
from genarm.feedback.export import export, mark
from genarm.feedback.store import Store

log = logging.getLogger(__name__)


def listed(address: str, root: Path, config: FeedbackConfig | None) -> tuple[str, dict[str, str]]:
    """The address at which exactly these votes are read, and the file of pairs with its mark.

    Raises ConfigError, DataError or Unreachable for a store that cannot be read.
    """
    dimension, upto = _parts(address)
    with _store(root, config) as store:
        found, last = mark(store, dimension, upto)
    return f"{SCHEME}{dimension}@{last}", {feedback_file(dimension): found}


def fetch(address: str, folder: Path, root: Path, config: FeedbackConfig | None) -> None:
    """Write the pairs, none where nobody voted yet, and say what was left out. Raises as `listed`."""
    dimension, upto = _parts(address)
    with _store(root, config) as store:
        done = export(store, dimension, folder / feedback_file(dimension), upto)
    log.info("%s", done.told)


@contextmanager
def _store(root: Path, config: FeedbackConfig | None) -> Iterator[Store]:
    if config is None:
        raise ConfigError(f"{SCHEME} is read with the parameters of a project", hint="set feedback.store")
    store = Store(config, root)
    try:
        yield store
    finally:
        store.close()


def _parts(address: str) -> tuple[str, int | None]:
    dimension, _, upto = address.removeprefix(SCHEME).partition("@")
    return dimension, int(upto) if upto else None

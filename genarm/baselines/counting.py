"""What one method reads on models that several methods share."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Meter:
    """Counts the tokens that models read while one method runs; `passes` gives what they read so far.

    `names` says what a part is called in this method, where it is called otherwise there.
    """

    def __init__(
        self, passes: Callable[[], Mapping[str, int]], names: Mapping[str, str] | None = None
    ) -> None:
        self._passes, self._names = passes, names or {}
        self._read: Counter[str] = Counter()

    @property
    def read(self) -> Mapping[str, int]:
        """Tokens by part; parts that read none are left out."""
        return {part: tokens for part, tokens in self._read.items() if tokens}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what is read inside the block."""
        before = dict(self._passes())
        try:
            yield
        finally:
            for part, tokens in self._passes().items():
                self._read[self._names.get(part, part)] += tokens - before.get(part, 0)


def together(*passes: Mapping[str, int]) -> Mapping[str, int]:
    """The sum of several counts, part by part."""
    total: Counter[str] = Counter()
    for counted in passes:
        total.update(counted)
    return dict(total)

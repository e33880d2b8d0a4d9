"""Which stages may run at once: on pools those of one kind, which wait for none of each other."""

from collections.abc import Sequence
from itertools import groupby

from genarm.config import PoolsConfig
from genarm.pipeline.stage_names import RESPOND_OF, STAGES

ANSWERING = min(list(STAGES).index(stage) for stage in RESPOND_OF.values())


def in_batches(names: Sequence[str], pools: PoolsConfig) -> list[list[str]]:
    """Stages in an order in which they can run, those together that may run at once.

    Without pools it is the order given, one by one. With any, all dimensions come to a stage before any comes
    to the next; base, challengers and champions answer at once.
    """
    if not pools.named:
        return [[name] for name in names]
    return [list(batch) for _, batch in groupby(sorted(names, key=_place), key=_place)]


def _place(name: str) -> int:
    kind = name.partition("@")[0]
    if kind in RESPOND_OF.values():
        return ANSWERING
    return list(STAGES).index(kind) if kind in STAGES else -1  # the data, before all

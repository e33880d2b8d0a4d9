"""The stages of `dvc.yaml` by name, and which of them a run needs; flow and plan both read it from here."""

from collections.abc import Collection, Sequence

PAIRS = "pairs"
TRAIN = "train"
RESPOND_BASE = "respond-base"
RESPOND = "respond"
RESPOND_CHAMPION = "respond-champion"
JUDGE = "judge"
DECIDE = "decide"
REPORT = "report"

# Every stage in running order, with whether it runs once for each dimension.
STAGES = {
    PAIRS: False,
    TRAIN: True,
    RESPOND_BASE: False,
    RESPOND: True,
    RESPOND_CHAMPION: True,
    JUDGE: True,
    DECIDE: False,
    REPORT: False,
}
OF_ONE_CHALLENGER = (RESPOND, RESPOND_CHAMPION, JUDGE)  # in running order


def of(stage: str, dimension: str) -> str:
    """The name of a stage for one dimension, as DVC writes it."""
    return f"{stage}@{dimension}"


def measuring(dimensions: Sequence[str], in_use: Collection[str] = ()) -> list[str]:
    """The stages that measure challengers, in running order; none for an ARM that is in use already.

    Where every dimension's ARM is in use there is nothing to decide, and the list is empty.
    """
    challengers = [d for d in dimensions if d not in in_use]
    if not challengers:
        return []
    each = [of(stage, dimension) for dimension in challengers for stage in OF_ONE_CHALLENGER]
    return [RESPOND_BASE, *each, DECIDE, REPORT]

"""The stages of `dvc.yaml` by name, and which of them a run needs; flow and plan both read it from here."""

from collections.abc import Collection, Sequence
from itertools import groupby

PAIRS = "pairs"
TRAIN = "train"
TUNE = "tune"
PROMPTS = "prompts"
RESPOND_BASE = "respond-base"
RESPOND = "respond"
RESPOND_CHAMPION = "respond-champion"
JUDGE = "judge"
DECIDE = "decide"
REPORT = "report"
REGISTER = "register"  # no stage of DVC's: the flow's step after training
RESPOND_OF = {"base": RESPOND_BASE, "challenger": RESPOND, "champion": RESPOND_CHAMPION}  # by side

# Every stage in running order, with whether it runs once for each dimension.
STAGES = {
    PAIRS: True,
    TRAIN: True,
    TUNE: True,
    PROMPTS: False,
    RESPOND_BASE: False,
    RESPOND: True,
    RESPOND_CHAMPION: True,
    JUDGE: True,
    DECIDE: False,
    REPORT: False,
}
MEASURING = list(STAGES)[list(STAGES).index(TUNE) + 1 :]


def stage_of(stage: str, dimension: str) -> str:
    """The name of a stage for one dimension, as DVC writes it."""
    return f"{stage}@{dimension}"


def dimension_of(stage: str) -> str:
    """The dimension in a stage's name as DVC writes it; empty for a stage that runs once for all."""
    return stage.partition("@")[2]


def tuning_stages(dimensions: Sequence[str], in_use: Collection[str] = ()) -> list[str]:
    """The stages that find how strongly a challenger guides; none for an ARM that is in use already."""
    return [stage_of(TUNE, d) for d in dimensions if d not in in_use]


def measuring_stages(dimensions: Sequence[str], in_use: Collection[str] = ()) -> list[str]:
    """The stages that measure challengers, in running order; none for an ARM that is in use already.

    Successive stages of a dimension run for one dimension after the other. Where every dimension's ARM is in
    use there is nothing to decide, and the list is empty.
    """
    challengers = [d for d in dimensions if d not in in_use]
    names: list[str] = []
    for runs_for_each, group in groupby(MEASURING if challengers else [], key=STAGES.__getitem__):
        stages = list(group)
        names += [stage_of(s, d) for d in challengers for s in stages] if runs_for_each else stages
    return names

"""What a report is made of, as the stage hands it over. No file, clock or server is read after this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genarm.evaluation.condition import Condition, Question
from genarm.types import ArmCard, Decision, Prompt, Response, Scorecard, Side, Tuned, Verdict


@dataclass(frozen=True, slots=True)
class ReportInput:
    """What the report shows. Mappings are by dimension unless they say otherwise."""

    decisions: Sequence[Decision]
    scorecards: Sequence[Scorecard]
    conditions: Mapping[str, Mapping[Question, Sequence[Condition]]]  # of the rule; none of what is `same`
    cards: Mapping[str, ArmCard]
    train_metrics: Mapping[str, Mapping[str, float]]
    curves: Mapping[str, Sequence[Mapping[str, float]]]
    prompts: Sequence[Prompt]
    responses: Mapping[str, Mapping[Side, Sequence[Response]]]
    verdicts: Mapping[str, Sequence[Verdict]]
    pair_stats: Mapping[str, Any]
    quarantine: Sequence[Mapping[str, Any]]
    weights: Mapping[str, float]  # decoding weight of the challenger
    sampling: Mapping[str, object]  # setting -> value, the same for every side
    respond_seconds: Mapping[str, float]  # `side_name` -> seconds that its answers took, where it is known
    lineage: Mapping[str, str]  # name -> value
    tuned: Mapping[str, Tuned] = field(default_factory=dict)  # of the challengers that were measured


def side_name(dimension: str, side: Side) -> str:
    """How a side is called: `positive challenger`; the base answers once for all dimensions."""
    return "base" if side == "base" else f"{dimension} {side}"

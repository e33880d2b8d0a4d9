"""The nouns, in the order of the pipeline: dataset -> pairs -> ARM -> version -> responses -> verdicts ->
scorecard -> decision. All are frozen; a stage makes new ones and never changes those that it was given.

Shape letters: b requests, n ARMs on one, r = b * (1 + n) rows, s tokens, d width, v vocabulary, p pairs.
"""

from genarm.types.arm import ArmCard, Champion, Guidance, Provenance
from genarm.types.canary import CanaryOutcome, Responses, Trial
from genarm.types.measured import (
    Agreement,
    Comparison,
    Decision,
    Estimate,
    JudgeCheck,
    JudgeStanding,
    Looked,
    Outcome,
    Response,
    Scorecard,
    Side,
    StrengthPoint,
    TextHealth,
    Tuned,
    Verdict,
)
from genarm.types.pairs import Message, PreferencePair, Prompt, Role, Split

__all__ = [
    "Agreement",
    "ArmCard",
    "CanaryOutcome",
    "Champion",
    "Comparison",
    "Decision",
    "Estimate",
    "Guidance",
    "JudgeCheck",
    "JudgeStanding",
    "Looked",
    "Message",
    "Outcome",
    "PreferencePair",
    "Prompt",
    "Provenance",
    "Response",
    "Responses",
    "Role",
    "Scorecard",
    "Side",
    "Split",
    "StrengthPoint",
    "TextHealth",
    "Trial",
    "Tuned",
    "Verdict",
]

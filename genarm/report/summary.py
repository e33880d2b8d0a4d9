"""What the first screen says: what was decided and why, who judged, what was learned, and the limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from genarm.evaluation.condition import Condition, Question, State
from genarm.evaluation.scorecard import comparison
from genarm.report.given import ReportInput
from genarm.report.learning import Learning, learning
from genarm.report.numbers import people
from genarm.report.standing import corrected_sentence, is_measured, is_reliable
from genarm.types import Comparison, Decision, Guidance, Outcome, Scorecard, StrengthPoint

# The report is made before the registry acts: whether it promoted is not known yet.
OUTCOMES: Mapping[Outcome, str] = {
    "promote": "to be promoted",
    "hold": "held",
    "reject": "rejected",
    "same": "unchanged",
}
QUESTIONS: Mapping[Question, str] = {
    "tuned": "a weight within the limits",
    "better": "better than the version in use",
    "harmless": "harms nothing else",
    "fluent": "fluent",
    "varied": "not repetitive",
    "judged": "judged reliably",
}
SETTINGS = {
    "guidance": "challengers guided by {}",
    "dtype": "in {}",
    "temperature": "temperature {}",
    "top_p": "top-p {}",
    "top_k": "top-k {}",
    "max_new_tokens": "at most {} new tokens",
}
NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Tick:
    """One question that the rule asks, how it was answered, and the numbers."""

    question: Question
    words: str
    state: State | Literal["not asked"]
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """Who judged one dimension, and whether the same scorer labelled the pairs that it was trained on.

    `held_out` is the second judge, empty where there is none.
    """

    judge: str
    held_out: str
    labelled_by: str
    labels_are_the_judges: bool | None  # None is not known
    sentence: str


@dataclass(frozen=True, slots=True)
class Summary:
    """One dimension on the first screen."""

    dimension: str
    outcome: Outcome
    words: str
    rival: str
    weight: float | None  # that the challenger was decoded with
    compared: Comparison | None  # what the decision turns on
    held_out: Comparison | None  # the same by the held-out judge
    corrected: str  # the win rate corrected for the judge's errors, or why there is none
    ticks: Sequence[Tick]
    learning: Learning
    judged: Judged
    decision: Decision


def summaries(given: ReportInput) -> list[Summary]:
    """One a decision, in their order."""
    cards = {s.dimension: s for s in given.scorecards}
    return [_summary(given, decision, cards[decision.dimension]) for decision in given.decisions]


def limits(given: ReportInput) -> list[str]:
    """What a reader must know before relying on the decisions, a sentence each."""
    found = []
    controls = {d: p for d, tuned in given.tuned.items() for p in tuned.curve if p.kind == "sharpened"}
    for dimension, control in controls.items():
        found.append(_beside(control, dimension, given.tuned[dimension].guidance))
    unknown = [d for d in given.weights if d not in controls]
    sharpens = given.sampling.get("guidance") != "contrast"
    if given.responses and unknown and sharpens:
        found.append(
            "No control was measured. Guidance also sharpens what the base says, and a judge may like that "
            f"by itself; {_control(given, unknown)} would show how much."
        )
    unchecked = [s.dimension for s in given.scorecards if s.standings and not is_measured(s)]
    if unchecked:
        found.append(
            f"How far the judge of {' and that of '.join(unchecked)} agrees with people was not measured "
            f"(genarm judge-check {unchecked[0]} FILE)."
        )
    same = [d for d in (s.dimension for s in given.scorecards) if judged(given, d).labels_are_the_judges]
    if same:
        found.append(
            f"The judge of {' and that of '.join(same)} also labelled the pairs. Such win rates show that "
            "text moves where the scorer points, not that people would agree."
        )
    if given.lineage.get("git dirty") == "true":
        found.append("Files differed from the commit, so nobody can repeat this run from it.")
    return found


def decoding(sampling: Mapping[str, object]) -> str:
    """The decoding settings as one line; a setting without words of its own has its name."""
    parts = []
    for key, value in sampling.items():
        shown = people(value) if isinstance(value, float) else str(value)
        parts.append(SETTINGS.get(key, key.replace("_", " ") + " {}").format(shown))
    return ", ".join(parts)


def judged(given: ReportInput, dimension: str) -> Judged:
    """Who judged, as the verdicts name it, and who labelled the pairs, as the data says."""
    rows = (v for verdicts in given.verdicts.values() for v in verdicts)
    named = dict.fromkeys((v.judge, v.held_out) for v in rows if v.dimension == dimension and v.judge)
    judges = [judge for judge, held_out in named if not held_out]
    second = "; ".join(judge for judge, held_out in named if held_out)
    labels = list(given.pair_stats.get(dimension, {}).get("labelled_by") or ())
    judge, labelled = "; ".join(judges) or NOT_KNOWN, "; ".join(labels) or NOT_KNOWN
    same = None
    if judges and labels:
        same = bool({_scorer(j) for j in judges} & {_scorer(label) for label in labels})
    who = f"Judged by {judge}" if judges else "Who judged is not known"
    if same:
        return Judged(judge, second, labelled, same, f"{who}, which also labelled the pairs.")
    of_labels = (
        "who labelled the pairs is not known" if not labels else f"the pairs were labelled by {labelled}"
    )
    return Judged(judge, second, labelled, same, f"{who}; {of_labels}.")


def _summary(given: ReportInput, decision: Decision, card: Scorecard) -> Summary:
    dimension = decision.dimension
    weight = given.weights.get(dimension)
    champion = decision.champion
    rival = (
        f"version {champion.version}, in use at weight {champion.weight:g}" if champion else "the base model"
    )
    compared = comparison(card, dimension, card.rival)
    health = next((h for h in card.health if h.side == "challenger"), None)
    return Summary(
        dimension=dimension,
        outcome=decision.outcome,
        words=OUTCOMES[decision.outcome],
        rival=rival,
        weight=weight,
        compared=compared,
        held_out=comparison(card, dimension, card.rival, held_out=True),
        corrected=corrected_sentence(card, compared),
        ticks=_ticks(given.conditions.get(dimension, {}), compared, card),
        learning=learning(
            given.train_metrics.get(dimension, {}),
            weight or 0.0,
            comparison(card, dimension, "base"),
            health,
            guidance=tuned.guidance if (tuned := given.tuned.get(dimension)) else "sum",
        ),
        judged=judged(given, dimension),
        decision=decision,
    )


def _ticks(
    conditions: Mapping[Question, Sequence[Condition]], compared: Comparison | None, card: Scorecard
) -> list[Tick]:
    if not conditions or compared is None:
        return []  # the challenger is the version in use: nothing was asked
    ticks = []
    # Stands above the ticks already.
    known = f"{compared.dimension}: win rate {compared.win_rate} over {compared.right}, "
    for question, words in QUESTIONS.items():
        if question == "better" and compared.right == "base":
            words = "better than the base (no version is in use)"
        if (asked := conditions.get(question)) is None:
            continue  # `tuned` is asked at times, and files of earlier versions do not tell who judged
        if question == "judged" and not asked:
            continue
        # The worst answer counts, as in the decision.
        order: tuple[State, ...] = ("failed", "open", "passed")
        state: State | Literal["not asked"] | None
        state = min((c.state for c in asked), key=order.index, default=None)
        if question == "judged" and state == "passed" and not is_reliable(card):
            state = (
                "not asked"  # one that nobody checked passes, or is allowed to be weak: no reason for a tick
            )
        reasons = [c.reason.removeprefix(known) for c in asked] or ["no other dimension is measured"]
        ticks.append(Tick(question, words, state or "not asked", reasons))
    return ticks


def _beside(control: StrengthPoint, dimension: str, guidance: Guidance) -> str:
    """What the control that tuning measured says of a win: of one by contrast nothing."""
    rate = (
        f"the base at temperature {control.temperature:.2f}, wins {control.win_rate} over the base on "
        f"{dimension}, on validation prompts"
    )
    if guidance == "contrast":
        return f"Sharpening as strong as the sum's, {rate}; contrast does not sharpen."
    return f"Sharpening alone, {rate}; what is won beyond that was learned."


def _control(given: ReportInput, dimensions: Sequence[str]) -> str:
    """The base at temperature T / (1 + w), by weight: what an ARM that equals the base would make of it."""
    temperature = given.sampling.get("temperature")
    if not isinstance(temperature, int | float) or not temperature:
        return "the base sampled at the temperature T / (1 + weight)"
    at = [f"{temperature / (1 + given.weights[d]):.2f} for {d}" for d in dimensions]
    return f"the base sampled at temperature {_listed(at)}"


def _scorer(identity: str) -> str:
    return identity.partition(",")[0].strip()


def _listed(items: Sequence[str]) -> str:
    return " and ".join((", ".join(items[:-1]), items[-1])) if len(items) > 1 else "".join(items)

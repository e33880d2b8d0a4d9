"""The nouns, in the order of the pipeline: dataset -> pairs -> ARM -> version -> responses -> verdicts ->
scorecard -> decision. All are frozen; a stage makes new ones and never changes those that it was given.

Shape letters: b requests, n ARMs on one, r = b * (1 + n) rows, s tokens, d width, v vocabulary, p pairs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "validation", "evaluation", "judge"]
Side = Literal["base", "champion", "challenger"]
Outcome = Literal["promote", "hold", "reject", "same"]
Guidance = Literal["sum", "contrast"]  # what an ARM adds to the base: log p_arm, or log p_arm - log p_start


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a response answers: messages that end with a turn of the user."""

    messages: tuple[Message, ...]

    @property
    def id(self) -> str:
        """First 16 hex digits of the sha256 of the messages; the same prompt has the same id in any file."""
        text = json.dumps([[m.role, m.content] for m in self.messages], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two responses to one prompt, of which `chosen` was preferred on some dimension."""

    prompt: Prompt
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class ArmCard:
    """What `arm.json` records about an ARM: what it rewards, what it fits and where it comes from.

    `model` is what the weights sit on: the model below an adapter, or the one a full model was trained from.
    `guides` is the base model that the ARM was made for; for an adapter on the base itself the two are equal.
    `adapter_sha256` covers an adapter or a full model alike. `dtype` is None in cards that predate it.
    """

    dimension: str
    model_id: str
    model_revision: str | None
    model_weights_sha256: str
    guides_id: str
    guides_revision: str | None
    tokenizer_sha256: str
    adapter_sha256: str
    beta: float
    weight: float  # the decoding weight it was tuned for
    pairs_sha256: str
    data_md5: str | None
    git_commit: str | None
    params: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    dtype: str | None = None  # the precision it was trained in
    quantise: str | None = None
    warm_start: "Champion | None" = None  # the version that training started from
    chat_template: str | None = None  # base.chat_template; None where the tokenizer's own was used
    template_date: str | None = None  # the date that a template is given which would write that of today
    guidance: Guidance = "sum"  # what the weight was tuned for: it means another thing under the other one

    @property
    def guides_another_model(self) -> bool:
        """Whether the ARM sits on a model of its own and not on the base that it guides."""
        return (self.model_id, self.model_revision) != (self.guides_id, self.guides_revision)


@dataclass(frozen=True, slots=True)
class Champion:
    """An entry of `mlflow/champions.json`: the version in use on one dimension."""

    version: int
    model_id: str
    adapter_sha256: str
    weight: float
    guidance: Guidance = "sum"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an ARM comes from: what its card records and its training does not read."""

    data_md5: str | None
    git_commit: str | None
    weight: float  # the decoding weight it is tuned for
    warm_start: Champion | None = None  # the version it is trained on from
    guidance: Guidance = "sum"  # what that weight is tuned for


@dataclass(frozen=True, slots=True)
class Response:
    """What one side answered to one prompt; `guidance` is there on some prompts only.

    `base_logprob` is sum_t log p_base(y_t) and `kl` the mean over tokens of KL(guided || base), both in nats.
    """

    prompt_id: str
    text: str
    tokens: int
    finish_reason: Literal["stop", "length"]
    base_logprob: float
    kl: float
    guidance: Sequence[tuple[int, float]] | None = None  # by token: characters, log p_guided - log p_base


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judge on one prompt. preference in [-1, 1]: above 0 for `left`, below 0 for `right`, 0 a tie.

    None stands for a judge that could not be read: counted, never a tie. Older files lack the last three.
    """

    prompt_id: str
    dimension: str
    left: Side
    right: Side
    preference: float | None
    scores: tuple[float, float] | None = None  # of `left` and `right`, where it compares scores
    judge: str | None = None  # who judged, and in which version
    held_out: bool = False  # whether that was the second judge


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its interval and the prompts (or pairs) behind it; prints as 0.58 [0.53, 0.63] n=400."""

    value: float
    interval: tuple[float, float]
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.interval[0]:.2f}, {self.interval[1]:.2f}] n={self.n}"


@dataclass(frozen=True, slots=True)
class Looked:
    """What holds of a comparison at any look: valid whenever the run is stopped, up to `most` prompts."""

    p_value: float  # always-valid, of "left wins more often than it loses"
    lower: float  # one-sided 95% bound of the win rate
    looks: int
    most: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left` against `right` on one dimension: the win rate of `left` and the counts behind it."""

    dimension: str
    left: Side
    right: Side
    win_rate: Estimate
    wins: int
    ties: int
    losses: int
    unread: int
    p_value: float  # exact one-sided sign test of "left wins more often than it loses"
    length_controlled: Estimate | None = None  # the win rate if both sides were equally long; shown only
    held_out: bool = False  # judged by the second judge of the dimension
    corrected: Estimate | None = None  # the win rate corrected for the judge's errors; shown only
    looked: Looked | None = None  # where prompts are answered in batches, until nothing is open

    @property
    def unread_bounds(self) -> tuple[float, float]:
        """The win rate if all verdicts that could not be read were losses, and if all were wins."""
        won, asked = self.win_rate.value * self.win_rate.n, self.win_rate.n + self.unread
        return (won / asked, (won + self.unread) / asked) if asked else (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class TextHealth:
    """How the text of one side reads, measured without a judge."""

    side: Side
    mean_tokens: float
    repetition: float  # share of 4-grams of words that were seen before in the same response
    perplexity: float  # under the base model, over all response tokens
    kl: float  # mean over responses of KL(guided || base) a token, in nats
    finished: float | None = None  # share of the responses that ended by themselves; older files have none


@dataclass(frozen=True, slots=True)
class StrengthPoint:
    """One way to answer the validation prompts, its win rates over the base, and the limits it exceeds."""

    kind: Literal["base", "sharpened", "guided"]
    weight: float  # of the sharpened base: the one whose sharpening it is
    temperature: float
    win_rate: Estimate
    held_out: Estimate | None  # the win rate by the held-out judge; None where there is none
    kl: float | None  # None for the sharpened base: guidance is measured, temperature is not
    perplexity: float
    repetition: float
    mean_tokens: float
    faults: Sequence[str] = field(default_factory=list)
    finished: float | None = None  # share of the answers that ended by themselves; older files have none


@dataclass(frozen=True, slots=True)
class Tuned:
    """How strongly an ARM is to guide, and why: `artifacts/tune/<dimension>/tuned.json`."""

    weight: float
    guidance: Guidance
    source: Literal["params.yaml", "validation"]  # params.yaml: it stands there, and nothing was tried
    why: str
    within_limits: bool = True  # where no weight of the grid is, the smallest stands above
    prompts: int = 0
    curve: Sequence[StrengthPoint] = field(default_factory=list)  # base, weights ascending, sharpened base
    judge: str | None = None  # who judged, as verdicts name it
    held_out_judge: str | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a judge agrees with people on one file of pairs, each judged in both orders; a tie is 1/2."""

    file: str
    sha256: str  # of the file
    accuracy: Estimate  # how often it prefers what people preferred; n are the pairs that could be read
    se: float  # standard error of the accuracy; it and the interval are by prompt where prompts repeat
    prompts: int
    unread: int  # pairs without a verdict that could be read
    ties: float  # share of the pairs
    consistency: float  # share of the pairs that are judged alike in both orders
    first: float  # share of the readings that prefer the response shown first, a tie 1/2
    longer: float | None  # how often it prefers the longer response; None where all are equally long
    length_correlation: float | None  # of its preference with the difference in length, by ranks


@dataclass(frozen=True, slots=True)
class JudgeCheck:
    """An entry of `judge-checks.json`: how far one judge of a dimension agrees with people."""

    judge: str  # who judged and in which version, as verdicts name it
    settings: str  # hash of its options and of its tie
    held_out: bool
    accuracy: Estimate  # over all files
    se: float
    agreements: Sequence[Agreement]  # one a file


@dataclass(frozen=True, slots=True)
class JudgeStanding:
    """Who gave verdicts on a dimension, and what is known of their agreement with people."""

    dimension: str
    held_out: bool
    judge: str  # who judged, as the verdicts name it; empty in files of earlier versions
    check: JudgeCheck | None
    stale: str = ""  # why the check says nothing of this judge


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Everything that was measured of one challenger: what the rule reads and the report shows."""

    dimension: str
    challenger_sha256: str
    champion: Champion | None
    comparisons: Sequence[Comparison]
    health: Sequence[TextHealth]
    standings: Sequence[JudgeStanding] = ()  # of those who judged; files of earlier versions have none
    no_weight: str | None = None  # why no weight of the tuning keeps its limits; None where one does

    @property
    def rival(self) -> Side:
        """The side that the challenger has to beat: the champion or, while there is none, the base model."""
        return "champion" if self.champion else "base"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one dimension and the reasons, each a sentence with its numbers."""

    dimension: str
    outcome: Outcome
    reasons: Sequence[str]
    challenger_sha256: str
    champion: Champion | None
    prompts_needed: int | None = None  # of a `hold`: prompts that would decide it

"""ARMs and their versions: what one is, where it comes from, and which one is in use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Guidance = Literal["sum", "contrast"]  # what an ARM adds to the base: log p_arm, or log p_arm - log p_start


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

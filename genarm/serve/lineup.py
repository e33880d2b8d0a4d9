"""What answers at one time: the decoder, and the version of each dimension whose ARM it has.

A lineup never changes. A promotion makes a new one; requests that began with the old one end with it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from genarm.serve.errors import ApiError, invalid
from genarm.types import Champion, Guidance

if TYPE_CHECKING:
    from genarm.decoding.engine.engine import Engine
    from genarm.pipeline.served import Choosing

BASE, GUIDED = "base", "guided"


@dataclass(frozen=True, slots=True)
class ServedArm:
    """A version that guides, at the weight and guidance that it was promoted with."""

    dimension: str
    champion: Champion
    pinned: bool = False
    trial: bool = False

    @property
    def numbered(self) -> str:
        """`positive@3`: its name beside the version in use. No dimension has an @ in its name."""
        return f"{self.dimension}@{self.champion.version}"

    @property
    def name(self) -> str:
        """What the decoder calls it: its dimension, or with its number beside the version in use."""
        return self.numbered if self.trial else self.dimension

    @property
    def model(self) -> str:
        """The name under which it guides alone: `guided:positive@3`."""
        return f"{GUIDED}:{self.numbered}"


@dataclass(frozen=True, slots=True)
class Guide:
    """What a request is guided by: weights and guidance by dimension, and the versions behind them."""

    model: str
    weights: Mapping[str, float]
    guidance: Mapping[str, Guidance]
    versions: Mapping[str, int]
    named: Mapping[str, str] = field(default_factory=dict)

    def arm(self, dimension: str) -> str:
        """What the decoder calls the ARM of a dimension: a challenger lies there under another name."""
        return self.named.get(dimension, dimension)

    def dimension(self, arm: str) -> str:
        """The dimension of an ARM of the decoder."""
        return next((dimension for dimension, name in self.named.items() if name == arm), arm)


@dataclass(frozen=True, eq=False)
class Lineup:
    """A decoder whose ARMs are named by dimension, those on trial by version too, and what each of them is.

    `named` is where a dimension's ARM has another name. `identity` is what whoever compares responses must
    share: base and precision by content. `choosing` has the versions that are best of n, by name: they choose
    among responses of the decoder.
    """

    decoder: "Engine"
    base_id: str
    arms: Mapping[str, ServedArm] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    choosing: "Choosing | None" = None
    named: Mapping[str, str] = field(default_factory=dict)

    def with_challenger(self, arm: ServedArm) -> "Lineup":
        """The same decoder with a challenger in the champion's place, which it has under its own name."""
        return replace(self, arms={**self.arms, arm.dimension: arm}, named={arm.dimension: arm.numbered})

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with the base or any version, for `system_fingerprint`."""
        parts = [self.base_id, *(f"{d}:{a.champion.adapter_sha256}" for d, a in sorted(self.arms.items()))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    @property
    def versions(self) -> dict[str, int]:
        """The version of each dimension that answers to `guided`."""
        return {name: arm.champion.version for name, arm in self.arms.items() if not arm.trial}

    def models(self) -> list[str]:
        """The names that a request may ask for."""
        guided = [GUIDED] if self.versions else []
        return [BASE, *guided, *(arm.model for arm in self.arms.values())]

    def chooses(self, guide: Guide) -> bool:
        """Whether a version that is best of n answers, which knows its response only at the end."""
        names = self.choosing.choosers if self.choosing else {}
        return any(weight and guide.arm(d) in names for d, weight in guide.weights.items())

    def guide(self, model: str, asked: Mapping[str, float] | None) -> Guide:
        """What guides a request for `model`; `asked` are weights of its own, which replace all others.

        Raises ApiError for a model or a dimension that is not served.
        """
        if model not in self.models():
            raise ApiError(
                404,
                f"the model {model[:80]!r} is not served; these are: {', '.join(self.models())}",
                param="model",
                code="model_not_found",
            )
        found = [a for a in self.arms.values() if a.model == model or (model == GUIDED and not a.trial)]
        arms = {arm.dimension: arm for arm in found}
        weights = {d: arm.champion.weight for d, arm in arms.items()} if asked is None else dict(asked)
        if unknown := [dimension for dimension in weights if dimension not in arms]:
            raise invalid(
                f"guidance names {unknown[0][:80]!r}, which does not guide {model!r}; "
                f"what does: {', '.join(arms) or 'nothing'}",
                "guidance",
            )
        used = {d: arms[d].champion for d, weight in weights.items() if weight}
        return Guide(
            model,
            weights,
            {d: champion.guidance for d, champion in used.items()},
            {d: champion.version for d, champion in used.items()},
            {d: self.named.get(arm.name, arm.name) for d, arm in arms.items()},
        )

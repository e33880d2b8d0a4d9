"""What PARM's training has of its own, beside the settings of every training."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from genarm.config import LoraConfig, TrainConfig
from genarm.config.numbers import Section
from genarm.errors import ConfigError


class ParmConfig(Section):
    """The bilinear adapter and the draw of preference vectors; the defaults are the paper's."""

    rank: int = Field(4, ge=0, description="r1: the part that is the same for every vector")
    conditioned_rank: int = Field(4, ge=1, description="r2: the part that the vector mixes")
    alpha: float = Field(8, gt=0, description="the update is scaled by alpha / conditioned_rank")
    concentration: float = Field(
        0.5, gt=0, description="of the Dirichlet distribution that a step's vector is drawn from"
    )
    betas: Mapping[str, float] = Field(
        {}, description="beta of single dimensions; the others have that of the training"
    )

    def lora(self, config: TrainConfig) -> LoraConfig:
        """The LoRA of rank r1 + r2 that has PARM's A and B, on the modules and layers of the training's.

        PEFT scales by alpha / rank, which makes alpha / r2 of this alpha.
        """
        rank = self.rank + self.conditioned_rank
        alpha = self.alpha * rank / self.conditioned_rank
        return LoraConfig(rank=rank, alpha=alpha, layers=config.lora.layers, targets=config.lora.targets)

    def check(self, config: TrainConfig, dimensions: Sequence[str]) -> None:
        """Raise ConfigError for settings that PARM's training does not have, or that do not go together."""
        for wrong, what, way_out in (
            (len(dimensions) < 2, f"PARM has {len(dimensions)} dimension", "give it two or more to mix"),
            (config.method != "lora", f"method = {config.method!r}", "PARM is an adapter: method: lora"),
            (config.quantise, f"quantise = {config.quantise!r}", "PARM trains beside whole weights: null"),
            (config.warm_start, "warm_start is set", "PARM starts from scratch: warm_start: null"),
            (config.lora.dropout, f"lora.dropout = {config.lora.dropout}", "PARM has none: set it to 0"),
            (
                config.batch_pairs < len(dimensions),
                f"batch_pairs = {config.batch_pairs}, and there are {len(dimensions)} dimensions",
                "a step needs a pair of each",
            ),
        ):
            if wrong:
                raise ConfigError(what, hint=way_out)
        if unknown := sorted(set(self.betas) - set(dimensions)):
            raise ConfigError(
                f"betas names {unknown[0]!r}, which is no dimension of this PARM",
                hint=f"there are {', '.join(dimensions)}",
            )

"""What runs leave for those who watch them, and whether champions are measured again each night."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from genarm.config.numbers import Section


class WatchConfig(Section):
    """What runs leave for those who watch them; and each night's measurement of champions, if asked for."""

    metrics: str | None = Field(
        None, description="a file NAME.prom that each run writes at its end, for Prometheus's node_exporter"
    )
    prompts: int | None = Field(
        None,
        ge=1,
        description="measure each champion against the base on so many prompts a night; null: do not",
    )
    file: str | None = Field(
        None, description="JSON Lines file that these prompts are taken from; null: the evaluation prompts"
    )
    nights: int = Field(7, ge=1, description="how many nights are taken together")
    at_least: float = Field(
        0.5, gt=0, lt=1, description="a champion whose win rate is shown to be lower is told"
    )
    alpha: float = Field(0.001, gt=0, lt=0.5, description="how often one at that rate is told, a night")
    rollback: bool = Field(False, description="also put its predecessor, or else the base, back in use")

    @field_validator("metrics")
    @classmethod
    def _is_collected(cls, file: str | None) -> str | None:
        if file is not None and not file.endswith(".prom"):
            raise ValueError(f"{file!r} does not end in .prom, and node_exporter reads no other files")
        return file

    @model_validator(mode="after")
    def _something_is_measured(self) -> "WatchConfig":
        asked: dict[str, Any] = {"file": self.file, "rollback": self.rollback}
        for name, value in asked.items():
            if value and self.prompts is None:
                raise ValueError(
                    f"watch.{name} = {value!r} needs watch.prompts, which is null: nothing is measured"
                )
        return self

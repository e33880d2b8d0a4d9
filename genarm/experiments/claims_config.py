"""The section `claims` of an `experiment.yaml`: what it shall confirm or refute."""

from typing import Annotated

from pydantic import Field, field_validator

from genarm.config import Section
from genarm.experiments.distinct import once


class EquivalenceConfig(Section):
    """A claim that the subject is as good as another row, neither better nor worse by much."""

    to: str = Field("dpo", description="the row that it is as good as")
    margin: float = Field(0.07, gt=0, lt=0.5, description="win rates within 0.5 -+ margin are equivalent")


class GapConfig(Section):
    """A claim that the subject recovers most of the way from a weak row to a strong one."""

    floor: str = Field(description="the row at the start of the way, whose gap recovered is 0")
    ceiling: str = Field(description="the row at its end, whose gap recovered is 1")
    control: str | None = Field(None, description="a row that must recover less, such as an untrained guide")


class ClaimsConfig(Section):
    """What the experiment shall confirm or refute."""

    subject: str = Field(description="the row that the claims are about")
    beats: tuple[str, ...] = Field((), description="rows that it has a higher win rate than")
    least: float = Field(0.55, ge=0.5, lt=1, description="the least win rate over them that confirms")
    equivalent: EquivalenceConfig | None = Field(None, description="the row that it is as good as")
    faster: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="row -> how many times as long it takes, at least"
    )
    recovers: GapConfig | None = Field(None, description="the gap that it recovers at least half of")
    front_over: tuple[str, ...] = Field((), description="rows whose front encloses less than its own")

    @field_validator("beats", "front_over")
    @classmethod
    def _each_row_once(cls, rows: tuple[str, ...]) -> tuple[str, ...]:
        return once("the row", rows)

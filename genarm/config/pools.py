"""Which stages run on other machines: the Prefect work pool of each."""

from typing import Annotated

from pydantic import Field

from genarm.config.numbers import Section

# A name that Prefect takes, and that stays one word in a command and in the name of a run.
PoolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]


class PoolsConfig(Section):
    """The Prefect work pool that runs a stage; a stage without one runs where the run was started."""

    train: PoolName | None = Field(None, description="trains the ARMs, those of all dimensions at once")
    tune: PoolName | None = Field(None, description="finds the weight of each ARM")
    respond: PoolName | None = Field(
        None, description="answers the evaluation prompts: base, challengers and champions"
    )
    judge: PoolName | None = Field(None, description="judges the answers")

    def of(self, stage: str) -> str | None:
        """The pool of a stage, named as DVC names it, such as `respond-champion@plain`; None for none."""
        kind = stage.partition("@")[0].partition("-")[0]
        return getattr(self, kind) if kind in type(self).model_fields else None

    @property
    def named(self) -> list[str]:
        """Every pool that is named, once, in the order of the stages."""
        pools = (getattr(self, kind) for kind in type(self).model_fields)
        return list(dict.fromkeys(pool for pool in pools if pool))

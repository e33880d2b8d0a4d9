"""The settings of `genarm train-judge`: options of the command, recorded with the judge that it makes."""

from typing import Literal

from pydantic import Field

from genarm.config.numbers import Section


class JudgeTraining(Section):
    """How a reward model is trained: a LoRA on the top layers and a fresh head, merged at the end."""

    layers: int | Literal["all"] = Field(8, description="the top layers that are adapted, or 'all'")
    rank: int = Field(16, ge=1, description="rank of the LoRA")
    alpha: float = Field(32, gt=0, description="scale of the LoRA; its updates count alpha / rank")
    learning_rate: float = Field(2e-4, gt=0, description="of AdamW, at the end of the warm-up")
    epochs: float = Field(1.0, gt=0, description="times that each pair is read")
    batch_pairs: int = Field(8, ge=1, description="pairs a step")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the rate grows")
    centre: float = Field(0.01, ge=0, description="pulls the mean of the scores of a pair to zero")
    max_tokens: int = Field(1024, ge=8, description="longer pairs are left out, and counted")
    most: int | None = Field(None, ge=1, description="train on at most so many pairs")
    seed: int = Field(0, ge=0, description="of head, adapter and order")

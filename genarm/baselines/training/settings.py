"""How the rivals are trained: the settings of SimPO, RLOO and the shallow model, without any model code."""

from pydantic import Field, model_validator

from genarm.config import LoraConfig
from genarm.config.numbers import Section

ENDS = 2  # layers of a shallow model that are kept at either end


class SimpoTraining(Section):
    """How SimPO trains; what is also a setting of ARMs means the same and has the same default."""

    beta: float = Field(2.0, gt=0, description="scale of the difference of mean log-probabilities")
    gamma: float = Field(1.0, ge=0, description="by how much, after beta, the chosen response shall lead")
    learning_rate: float = Field(1e-3, gt=0, description="the highest, after warm-up")
    epochs: int = Field(1, ge=1, description="passes over the pairs")
    max_pairs: int | None = Field(None, ge=1, description="train on at most this many pairs")
    batch_pairs: int = Field(8, ge=1, description="pairs an optimiser step")
    pass_pairs: int = Field(4, ge=1, description="pairs a forward pass; it divides batch_pairs")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of steps in which the learning rate rises")
    max_grad_norm: float = Field(1.0, gt=0, description="longer gradients are scaled down to it")
    seed: int = Field(
        0, ge=0, lt=2**32, description="of the adapter's first values and of the order of pairs"
    )
    lora: LoraConfig = Field(LoraConfig(), description="the adapter")

    @model_validator(mode="after")
    def _passes_fill_a_step(self) -> "SimpoTraining":
        if self.batch_pairs % self.pass_pairs:
            raise ValueError(
                f"pass_pairs = {self.pass_pairs} does not divide batch_pairs = {self.batch_pairs}"
            )
        return self


class RlooTraining(Section):
    """How a policy is trained for rewards; the adapter as that of an ARM."""

    beta: float = Field(0.05, ge=0, description="weight of log(p / p_base) in the reward")
    generations: int = Field(2, ge=2, description="responses to each prompt, whose rewards are compared")
    step_prompts: int = Field(8, ge=1, description="prompts a step")
    steps: int = Field(60, ge=1, description="optimiser steps; prompts are gone through again if needed")
    max_new_tokens: int = Field(64, ge=1, description="longest response")
    temperature: float = Field(1.0, gt=0, description="of the responses; 1 is the policy itself")
    standardise_on: int = Field(
        64, ge=2, description="responses of the base by which rewards are standardised, at least so many"
    )
    learning_rate: float = Field(1e-4, gt=0, description="the highest, after warm-up")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of steps in which the learning rate rises")
    max_grad_norm: float = Field(1.0, gt=0, description="longer gradients are scaled down to it")
    seed: int = Field(0, ge=0, lt=2**32, description="of the adapter, the order of prompts and the responses")
    lora: LoraConfig = Field(LoraConfig(), description="the adapter")


class ShallowTraining(Section):
    """How much of the base is kept, and how it is healed."""

    layers: int = Field(ge=2 * ENDS, description="layers that are kept")
    steps: int = Field(400, ge=1, description="optimiser steps; text is gone through again if needed")
    batch_tokens: int = Field(1024, ge=8, description="tokens a step, padding included")
    learning_rate: float = Field(5e-4, gt=0, description="the highest, after warm-up")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of steps in which the learning rate rises")
    max_grad_norm: float = Field(1.0, gt=0, description="longer gradients are scaled down to it")
    seed: int = Field(0, ge=0, lt=2**32, description="of the order of the text")

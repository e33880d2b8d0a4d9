"""The parameters of training, with their meaning."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from genarm.config.numbers import Section


class LoraConfig(Section):
    """The LoRA that turns the frozen model into an ARM."""

    layers: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        "all", description="how many layers, counted from the top, are adapted"
    )
    rank: int = Field(8, ge=1, description="LoRA rank")
    alpha: float = Field(16, gt=0, description="LoRA alpha; the update is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    targets: tuple[str, ...] | Literal["all-linear"] = Field(
        "all-linear", description="module names to adapt; every name must match"
    )


class EarlyStoppingConfig(Section):
    """When training stops before its last step."""

    patience: int = Field(
        ge=1, description="evaluations in a row without a better accuracy before training stops"
    )
    metric: Literal["accuracy", "implicit_accuracy"] = Field(
        "accuracy", description="which accuracy: of the summed log-probability, or of what was learned"
    )


class TrainConfig(Section):
    """How an ARM is trained (paper, section 4; loss in `genarm.training.loss`)."""

    method: Literal["lora", "full"] = Field(
        "lora", description="train an adapter, or all weights: the paper's weak-to-strong ARM"
    )
    model: str | None = Field(
        None,
        description="the model that becomes the ARM, such as a smaller one with the base's tokenizer; "
        "named as base.model is, which it is by default",
    )
    revision: str | None = Field(None, description="commit or tag of `model`, where it is a hub id")
    quantise: Literal["4bit"] | None = Field(
        None, description="QLoRA: hold the frozen weights in 4 bits (NF4); needs CUDA and genarm[qlora]"
    )
    warm_start: Literal["champion"] | None = Field(
        None, description="start from the version in use instead of anew, as new preferences arrive"
    )
    objective: Literal["arm", "dpo"] = Field(
        "dpo",
        description="the paper's loss, or DPO's, which subtracts the start's log-ratio of each pair",
    )
    beta: float = Field(0.1, gt=0, description="scale of the preference margin; training only")
    margin: float = Field(
        0.0,
        ge=0,
        description="how far the chosen reward (beta * log-probability) shall lead; 0 is the paper's",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="share of pairs taken for wrongly labelled; 0 is the paper's"
    )
    length_normalised: bool = Field(
        False,
        description="train on mean instead of summed log-probabilities: no pull to short responses, but "
        "decoding adds up the sum, which is the paper's objective, and is then trained only by proxy",
    )
    learning_rate: float = Field(1e-3, gt=0, description="the highest, after warm-up")
    epochs: float = Field(1.0, gt=0, description="passes over the training pairs")
    max_pairs: int | None = Field(None, ge=1, description="train on at most this many pairs, in seeded order")
    batch_pairs: int = Field(8, ge=1, description="pairs an optimiser step")
    batch_tokens: int = Field(
        2048, ge=8, description="tokens a forward pass, at most; the rest of a step is accumulated"
    )
    truncate: Literal["prompt_start"] | None = Field(
        None, description="cut a pair beyond the model's context there; null leaves it out and names it"
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="share of steps in which the learning rate rises")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="how the learning rate falls after warm-up"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's")
    max_grad_norm: float = Field(1.0, gt=0, description="longer gradients are scaled down to it")
    seed: int = Field(
        0, ge=0, lt=2**32, description="of the adapter's first values, of dropout and of the order of pairs"
    )
    evaluate_steps: int = Field(100, ge=1, description="steps between evaluations on the validation pairs")
    early_stopping: EarlyStoppingConfig | None = Field(
        None, description="stop when validation accuracy no longer rises, and keep the best step's weights"
    )
    checkpoint_minutes: float = Field(2.0, gt=0, description="minutes between checkpoints")
    gradient_checkpointing: bool = Field(
        False, description="compute each layer again in the backward pass: less memory, a third more time"
    )
    launcher: Literal["auto", "python", "accelerate"] = Field(
        "auto", description="one process, or several by accelerate; auto takes several where there are GPUs"
    )
    processes: int | None = Field(
        None, ge=1, description="processes of accelerate; null takes what its file says, or a GPU each"
    )
    accelerate_config: str = Field(
        "single-node", description="a file of genarm or of configs/accelerate/ by its name, or a path"
    )
    lora: LoraConfig = Field(LoraConfig(), description="the adapter, where `method` is lora")

    @model_validator(mode="after")
    def _settings_agree(self) -> "TrainConfig":
        if self.method == "full" and self.quantise:
            raise ValueError(
                f"quantise = {self.quantise!r} holds weights that cannot train, and method is 'full'; "
                "choose one of method: lora and quantise: null"
            )
        if self.revision and not self.model:
            raise ValueError(f"revision = {self.revision!r} belongs to `model`, which is not set")
        return self

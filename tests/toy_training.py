"""Trainings of the toy, and models and pairs on which fast log-probabilities are compared with slow ones."""

import dataclasses
import random
from pathlib import Path

import numpy as np
import torch
from toys import Toy, toy_model
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from genarm import models
from genarm.config import TrainConfig
from genarm.system.files import write_rows
from genarm.training.loss import preference_loss
from genarm.training.token_cache import TokenPairs
from genarm.training.tokens import TokenPair
from genarm.training.train import TrainResult, train_arm
from genarm.training.trainer import ArmTrainer
from genarm.types import Message, PreferencePair, Prompt, Provenance

CONFIG = TrainConfig(
    objective="arm",
    beta=0.05,
    learning_rate=0.02,
    batch_pairs=4,
    batch_tokens=64,  # of pairs of 20 to 34: one or two packs a step
    epochs=2,
    checkpoint_minutes=60,
    lora={"layers": 2, "rank": 2},
)
OFTEN = 1e-6  # minutes between checkpoints: one after each step


def changed(**values: object) -> TrainConfig:
    """CONFIG with other values, which are not validated."""
    return CONFIG.model_copy(update=values)


def preferences(n: int, seed: int = 0) -> list[PreferencePair]:
    """Responses of any letters; chosen are those with an exclamation mark at their end."""
    rng = random.Random(seed)

    def text() -> str:
        return "".join(rng.choice("abcde ") for _ in range(rng.randint(2, 8)))

    return [PreferencePair(Prompt((Message("user", text()),)), text() + "!", text() + "?") for _ in range(n)]


def noisy_preferences(n: int) -> list[PreferencePair]:
    """Pairs with labels by chance: there is nothing to learn that holds on others."""
    rng = random.Random(4)
    return [
        p if rng.random() < 0.5 else dataclasses.replace(p, chosen=p.rejected, rejected=p.chosen)
        for p in preferences(n, seed=3)
    ]


def run(toy: Toy, folder: Path, config: TrainConfig = CONFIG, **changes) -> TrainResult:
    """Train the toy in a folder; `changes` are other arguments of train_arm, the pairs of a split, or the
    version that it is `started_from`.
    """
    arguments = dict(
        dimension="loud",
        base=models.resolve(str(toy.folder)),
        dtype="float32",
        config=config,
        out=folder / "arm",
        checkpoints=folder / "checkpoints",
        provenance=Provenance(
            data_md5=None, git_commit=None, weight=1.0, warm_start=changes.pop("started_from", None)
        ),
    )
    rows = {
        "train": changes.pop("train", preferences(18)),
        "validation": changes.pop("validation", preferences(9, seed=1)),
    }
    for split, pairs in rows.items():
        write_rows(folder / f"{split}.jsonl", pairs)
    return train_arm(*(folder / f"{split}.jsonl" for split in rows), **(arguments | changes))


class Killed(Exception):
    """What a test ends a training with."""


def at_pass(monkeypatch, number: int | None, action) -> list[int]:
    """Call `action` at this forward pass of the next training; the list has an item for each pass."""
    compute, passes = ArmTrainer.compute_loss, []

    def counting(self, *args, **kwargs):
        passes.append(1)
        if len(passes) == number:
            action()
        return compute(self, *args, **kwargs)

    monkeypatch.setattr(ArmTrainer, "compute_loss", counting)
    return passes


def die() -> None:
    """End a training as if it was killed."""
    raise Killed


SIZES = dict(
    vocab_size=264,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=512,
    initializer_range=0.5,
    pad_token_id=257,
    eos_token_id=256,
    bos_token_id=None,
)
NO_HEAD_DIM = {k: v for k, v in SIZES.items() if k != "head_dim"}
HALF_SLIDING = dict(layer_types=["sliding_attention", "full_attention"] * 2, sliding_window=4)
SHAPES = {
    "llama": lambda: toy_model(),
    "qwen2, window 4 on the upper half": lambda: Qwen2ForCausalLM(
        Qwen2Config(**NO_HEAD_DIM, use_sliding_window=True, sliding_window=4, max_window_layers=2)
    ),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES)),
    "mistral, window 4": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4)),
    "gemma2, window 4, both soft caps": lambda: Gemma2ForCausalLM(
        Gemma2Config(**SIZES, **HALF_SLIDING, final_logit_softcapping=5.0, attn_logit_softcapping=5.0)
    ),
    "gemma3, window 4": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, **HALF_SLIDING)),
}
LENGTHS = [(1, 1, 9), (7, 6, 2), (1, 30, 1), (5, 5, 5)]  # of prompt, chosen and rejected

# Of the gradient's length. Through four layers so loud that attention scores reach hundreds, float32 loses
# more: the definition itself is then up to 2e-5 from its own value in float64.
TOLERANCE = {(torch.float32, 1): 1e-5, (torch.float32, "all"): 5e-5}
TOLERANCE |= {(torch.float64, layers): 1e-6 for layers in (1, "all")}


def token_pairs(seed: int = 0) -> list[TokenPair]:
    """Four pairs of very unequal lengths."""
    rng = random.Random(seed)

    def ids(n: int) -> list[int]:
        return [rng.randrange(256) for _ in range(n)]

    return [TokenPair(f"p{i}", ids(p), ids(c), ids(r)) for i, (p, c, r) in enumerate(LENGTHS)]


def in_memory(pairs: list[TokenPair]) -> TokenPairs:
    """Pairs as a training reads them, without a file."""
    lengths = np.array([(len(p.prompt), len(p.chosen), len(p.rejected)) for p in pairs], dtype=np.int64)
    return TokenPairs("toy", [dataclasses.asdict(p) for p in pairs], np.arange(len(pairs)), lengths)


def slow_logps(model, pairs) -> torch.Tensor:
    """One response at a time, no padding, no mask, all logits: the definition."""
    sums = []
    for pair in pairs:
        for response in (pair.chosen, pair.rejected):
            ids = torch.tensor([pair.prompt + response])
            logps = model(input_ids=ids).logits[0].float().log_softmax(-1)
            sums.append(sum(logps[len(pair.prompt) + t - 1, y] for t, y in enumerate(response)))
    return torch.stack(sums).view(-1, 2)


def loss_and_gradient(model, logps) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of the pairs, and its gradient by all that trains, in one vector."""
    model.zero_grad()
    loss = preference_loss(logps[:, 0], logps[:, 1], beta=0.1).mean()
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def initialise_lora_b(model, std: float = 0.1) -> None:
    """LoRA starts at zero and would hide a wrong adapter: give B some weight."""
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=std)

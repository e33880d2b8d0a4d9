"""One row of the training benchmark in a separate process: real trainers, timed from their second step on.

python train_rows.py JOB     JOB is a Job as JSON; the last line printed is the result as JSON
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from resident import resident_peak_mb
from shapes import SHAPES
from torch import nn
from train_limits import Work, fastest_products, now
from train_pairs import ALPHA, BETA, LEARNING_RATE, RANK, SEED, Job, Pair, read
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    TrainerCallback,
    set_seed,
)

from genarm.config import LoraConfig, TrainConfig
from genarm.models import load_model, load_tokenizer, resolve
from genarm.training.logps import prepare
from genarm.training.lora import add_lora, fuse_lora
from genarm.training.packing import PackedSteps
from genarm.training.token_cache import TokenPairs
from genarm.training.trainer import ArmTrainer


class Clock(TrainerCallback):
    """When each optimiser step ended."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.ends = device, list[float]()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note the time."""
        self.ends.append(now(self.device))


def measure_row(job: Job) -> dict[str, float]:
    """Time, pairs and tokens of all steps but the first, peak memory, and what shows rows to be alike."""
    torch.set_num_threads(job.threads)
    set_seed(SEED)
    pairs = read(Path(job.pairs))
    source = resolve(job.model)
    tokenizer = load_tokenizer(source)
    device, dtype = torch.device(job.device), getattr(torch, job.dtype)
    if job.shape is None:
        model = nn.Module.to(load_model(source, job.dtype), device)
    else:
        model = random_model(SHAPES[job.shape], len(tokenizer), device, dtype)
    order = PackedSteps(
        row_tokens(pairs), epochs=1, batch_pairs=job.batch_pairs, batch_tokens=2**31, seed=SEED
    ).order
    timed = [pairs[i] for i in order[job.batch_pairs :]]
    if job.row == "limit":
        return limits(job, model, timed)
    clock = Clock(device)
    with tempfile.TemporaryDirectory() as folder:
        if job.row.startswith("trl_"):
            from train_trl import trainer_of

            trainer = trainer_of(job, model, tokenizer, [pairs[i] for i in order], folder)
            trainer.add_callback(clock)
            trainer.train()
        else:
            trainer = ours(job, model, pairs, Path(folder))
            trainer.add_callback(clock)
            trainer.run(job.row)
    return {
        "seconds": clock.ends[-1] - clock.ends[0],
        "pairs": len(timed),
        "tokens": sum(pair.tokens for pair in timed),
        "peak_mb": peak_mb(device),
        "loss": next(row["loss"] for row in trainer.state.log_history if "loss" in row),
        "trained": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
    }


def random_model(
    shape: dict[str, Any], tokens: int, device: torch.device, dtype: torch.dtype
) -> PreTrainedModel:
    """A Llama of random weights whose vocabulary holds the tokenizer's."""
    config = LlamaConfig(
        **{**shape, "vocab_size": max(shape["vocab_size"], tokens)}, max_position_embeddings=8192
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def row_tokens(pairs: Sequence[Pair]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Tokens that each pair takes up in a packed row -> [n]."""
    return np.array([pair.ids.row_tokens for pair in pairs], dtype=np.int64)


def in_memory(name: str, pairs: Sequence[Pair]) -> TokenPairs:
    """Pairs as our trainer reads them, without a file."""
    rows = Dataset.from_list([asdict(pair.ids) for pair in pairs])
    lengths = [[len(p.ids.prompt), len(p.ids.chosen), len(p.ids.rejected)] for p in pairs]
    return TokenPairs(name, rows, np.arange(len(pairs)), np.array(lengths, dtype=np.int64))


def ours(job: Job, model: PreTrainedModel, pairs: Sequence[Pair], folder: Path) -> ArmTrainer:
    """Our trainer; `plain` gives it two padded rows a pair, batched by the same budget."""
    data = in_memory(job.row, pairs)
    packed = job.row != "plain"
    if packed and not prepare(model, data):
        raise SystemExit("this model's rows cannot be packed: there is only the row `plain`")
    adapted = add_lora(model, LoraConfig(layers=job.layers or "all", rank=RANK, alpha=ALPHA))
    fuse_lora(adapted)
    config = TrainConfig(
        objective="arm",
        beta=BETA,
        learning_rate=LEARNING_RATE,
        batch_pairs=job.batch_pairs,
        batch_tokens=job.batch_tokens,
        warmup=0,
        schedule="constant",
        seed=SEED,
        checkpoint_minutes=1e6,
    )
    return ArmTrainer(adapted, config, data, data.take([0]), folder, title=job.row, packed=packed)


def limits(job: Job, model: PreTrainedModel, pairs: Sequence[Pair]) -> dict[str, float]:
    """Pairs/s that arithmetic allows, with adapters on all layers and on the uppermost alone."""
    work, rate = Work.of(model, RANK), fastest_products(model, job.batch_tokens)
    top = len(work.layers) - (job.layers or 0)
    return {
        "rate": rate,
        **{
            name: len(pairs) * rate / sum(work.pair(pair.ids, lowest) for pair in pairs)
            for name, lowest in (("limit", 0), ("limit_top8", top))
        },
    }


def peak_mb(device: torch.device) -> float:
    """The most memory this process had at one time: resident, or on the GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resident_peak_mb()


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft's and TRL's, of what will change in them
        print("\n" + json.dumps(measure_row(Job(**json.loads(sys.argv[1])))))

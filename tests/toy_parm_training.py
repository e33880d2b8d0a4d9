"""PARMs of the toy, trained on two dimensions that want opposite things."""

import dataclasses
from pathlib import Path

from toy_training import CONFIG, preferences

from genarm import models
from genarm.baselines.parm.settings import ParmConfig
from genarm.baselines.parm.train import ParmResult, train_parm
from genarm.config import TrainConfig
from genarm.system.files import write_rows
from genarm.types import PreferencePair, Provenance

PARM = ParmConfig()
TRAIN = CONFIG.model_copy(update={"epochs": 0.5})
ENOUGH = TRAIN.model_copy(update={"epochs": 5, "learning_rate": 0.01, "batch_pairs": 8, "batch_tokens": 512})


def turned(pairs: list[PreferencePair]) -> list[PreferencePair]:
    """The same pairs with the other choice."""
    return [dataclasses.replace(p, chosen=p.rejected, rejected=p.chosen) for p in pairs]


def pairs_of(split: str) -> dict[str, list[PreferencePair]]:
    """`loud` prefers an exclamation mark, `calm` a question mark and has fewer pairs."""
    n, seed = {"train": (60, 0), "validation": (30, 1)}[split]
    return {"loud": preferences(n, seed=seed), "calm": turned(preferences(n // 2, seed=seed + 2))}


def run_parm(
    toy, folder: Path, config: TrainConfig = TRAIN, parm: ParmConfig = PARM, **changes
) -> ParmResult:
    """Train a PARM of the toy in a folder; `changes` are other arguments."""
    files = {split: {} for split in ("train", "validation")}
    for split, of_split in files.items():
        for dimension, pairs in pairs_of(split).items():
            of_split[dimension] = folder / f"{split}-{dimension}.jsonl"
            write_rows(of_split[dimension], pairs)
    arguments = dict(
        name="voice",
        base=models.resolve(str(toy.folder)),
        dtype="float32",
        config=config,
        parm=parm,
        out=folder / "parm",
        checkpoints=folder / "checkpoints",
        provenance=Provenance(data_md5=None, git_commit=None, weight=1.0),
    )
    return train_parm(*files.values(), **(arguments | changes))

"""What the start, the model below an ARM, gives each response: the constants that DPO's loss subtracts.

With a warm start, too, the start is that model and not the ARM that training goes on from: contrast serves
w (log p_arm - log p_start) of the whole ARM, and what is fitted and measured has to be what is served.

They are computed once before the first step, with the very model that trains: its adapter still adds nothing
or, with a warm start, is off meanwhile. So no second model is loaded, but for a warm start with all weights.
They are cached beside the token ids, under a hash of all that decides them, and another seed, rate or number
of layers uses them again.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genarm.config import TrainConfig
from genarm.errors import DataError
from genarm.models import ModelSource, cache_folder, load_model
from genarm.models.finite import not_numbers
from genarm.system.files import read_json, write_json
from genarm.system.progress import ProgressDisplay, Step
from genarm.training.checkpoints import disk_errors_named
from genarm.training.collate import PairBatch
from genarm.training.forward_passes import ForwardPasses
from genarm.training.full import make_all_trainable
from genarm.training.logps import BatchFunction, causal_lm, pair_logps, prepare
from genarm.training.process_group import all_reduce_sum, broadcast_from_main, is_main_process
from genarm.training.token_cache import TokenPairs

FORMAT = 1  # raised when the same inputs would give other numbers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """log p_start of chosen and rejected of the pairs of both splits, [n, 2] each.

    `train` is there where the objective subtracts it. `implicit` says that the ARM may differ from its start
    before the first step, so that the implicit reward is measured from these numbers.
    """

    train: Tensor | None
    held_out: Tensor
    implicit: bool = False

    @property
    def margins(self) -> Tensor:
        """log p_start(chosen) - log p_start(rejected) of the validation pairs [n], in float64."""
        return self.held_out[:, 0].double() - self.held_out[:, 1].double()


@dataclass(frozen=True, slots=True)
class _Cached:
    logps: list[tuple[float, float]]
    sha256: str


def start_of(
    model: Any,
    train: TokenPairs,
    held_out: TokenPairs,
    config: TrainConfig,
    *,
    packed: bool,
    title: str,
    weights: str,
    dtype: str,
    below: ModelSource | None = None,
) -> Start | None:
    """What the objective subtracts, and the implicit reward is measured from, of a model about to train.

    None where neither is needed: the ARM's own objective, whose first evaluation is of the start itself.
    `weights` is the hash of the model below the ARM, `below` that model where the ARM has learned already.
    """
    if config.objective == "arm" and below is None:
        return None
    settings = {"dtype": dtype, "method": config.method, "quantise": config.quantise, "packed": packed}
    settings["device"] = causal_lm(model).device.type
    splits = [held_out] if config.objective == "arm" else [train, held_out]
    with _start(model, below, dtype, splits) as start:
        *of_train, of_held_out = (
            logps_at_start(
                start,
                pairs,
                packed=packed,
                title=title,
                cached=cache_file(weights, settings, pairs),
            )
            for pairs in splits
        )
    return Start(of_train[0] if of_train else None, of_held_out, implicit=below is not None)


@contextmanager
def _start(model: Any, below: ModelSource | None, dtype: str, splits: Sequence[TokenPairs]) -> Iterator[Any]:
    """The model below an ARM: the ARM itself before its first step, with its adapter off, or loaded anew."""
    if below is None:
        yield model
    elif hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            yield model
    else:
        bare = make_all_trainable(load_model(below, "float32"), dtype)
        prepare(bare, splits[0])
        yield bare


def cache_file(weights: str, settings: Any, pairs: TokenPairs) -> Path:
    """Where the numbers of these pairs lie: by weights, tokens, libraries, and `settings` such as dtype."""
    libraries = {name: version(name) for name in ("torch", "transformers", "peft")}
    inputs = json.dumps([FORMAT, weights, settings, libraries, pairs.fingerprint], sort_keys=True)
    return cache_folder() / "start" / f"{hashlib.sha256(inputs.encode()).hexdigest()[:32]}.json"


def logps_at_start(
    model: Any, pairs: TokenPairs, *, packed: bool, title: str, cached: Path | None = None
) -> Tensor:
    """log p_start of chosen and rejected of each pair -> [n, 2] float32, in all processes.

    `model` is the start. The numbers are read from the file `cached` where it holds
    them and written to it otherwise. Raises ModelError where one of them is no number.
    """
    found = _read(cached, len(pairs)) if cached and is_main_process() else None
    if broadcast_from_main(int(found is not None)):
        # The file may lie on another machine than this process.
        told = (torch.zeros(len(pairs), 2) if found is None else found).to(causal_lm(model).device)
        all_reduce_sum([told])
        return told.cpu()
    logps = _compute(model, pairs, packed, title)
    if cached and is_main_process():
        with disk_errors_named(cached.parent):
            write_json(cached, _Cached(logps.tolist(), _digest(logps)))
    return logps


def _compute(model: Any, pairs: TokenPairs, packed: bool, title: str) -> Tensor:
    model.eval()
    device = causal_lm(model).device
    # As many packs whatever the number of processes: the same numbers, to the bit.
    passes = ForwardPasses(pairs, pairs.lengths, range(len(pairs)), packed=packed)
    logps = torch.zeros(len(pairs), 2, dtype=torch.float32, device=device)
    display, done = ProgressDisplay(title, quiet=not is_main_process()), 0

    def run(function: BatchFunction, batch: PairBatch) -> Tensor:
        nonlocal done
        done += len(batch)
        result = function(model, batch)
        display.show(Step(done, len(passes.indices), "pairs scored before training"))
        return result

    try:
        with torch.no_grad():
            results = passes.run(pair_logps, run, device)
    finally:
        display.close()
    logps[passes.indices] = torch.cat([logps[:0], *results])
    all_reduce_sum([logps])
    logps = logps.cpu()
    if strange := (~logps.isfinite().all(1)).nonzero().flatten().tolist():
        prompts = ", ".join(dict.fromkeys(pairs[i].prompt_id for i in strange[:3]))
        what = f"the log-probabilities before training of {len(strange)} pairs ({prompts})"
        raise not_numbers(what, causal_lm(model))
    return logps


def _read(file: Path, pairs: int) -> Tensor | None:
    """The cached numbers; None where there are none, or not those of so many pairs."""
    if not file.is_file():
        return None
    try:
        held = read_json(file, _Cached)
        logps = torch.tensor(held.logps, dtype=torch.float32).view(-1, 2)
    except DataError:
        logps = None
    if logps is not None and len(logps) == pairs and _digest(logps) == held.sha256:
        return logps
    log.warning("%s was cut short or altered; it is written again", file)
    return None


def _digest(logps: Tensor) -> str:
    return hashlib.sha256(logps.numpy().tobytes()).hexdigest()

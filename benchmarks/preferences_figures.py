"""What trainings got right of the test pairs: means over seeds, standard errors, by length; as a table."""

import argparse
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from rich.table import Table
from torch import Tensor

from genarm.system.metric_names import STRATA
from genarm.training.margins import calibration_error, strata

if TYPE_CHECKING:
    from genarm.training.token_cache import TokenPairs

NAMES = {"before": "before training", "arm": "arm: the paper's", "dpo": "dpo: over the start",
         "trl_dpo": "TRL's DPOTrainer"}  # fmt: skip
TITLES = dict(zip(STRATA, ("longer chosen", "shorter chosen", "equal"), strict=True))


@dataclass(frozen=True, slots=True)
class Parts:
    """The test pairs: which prompt each is of, which are of which length, and what the longer gets."""

    prompts: Sequence[str]
    by_length: Mapping[str, Tensor]
    longer_is_right: list[float]


@dataclass(frozen=True, slots=True)
class Result:
    """The margins [p] of one training after it and before it, in nats, and the beta of its loss."""

    way: str
    layers: int | str | None
    seed: int
    after: Tensor
    before: Tensor
    parts: Parts
    beta: float

    @property
    def rights(self) -> dict[str, Tensor]:
        """1 for each pair that is right, 1/2 for a tie, by reward [p]."""
        return {"sum": right(self.after), "implicit": right(self.after - self.before)}

    @property
    def sum_accuracy(self) -> float:
        """Of the log-probability."""
        return self.rights["sum"].mean().item()

    @property
    def implicit_accuracy(self) -> float:
        """Of the log-probability less the start's."""
        return self.rights["implicit"].mean().item()


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A mean over seeds, its standard error over test pairs, and the one over seeds (none with one seed)."""

    value: float
    se: float
    se_seeds: float | None

    def __str__(self) -> str:
        seeds = "" if self.se_seeds is None else f", {self.se_seeds:.3f}"
        return f"{self.value:.3f} ({self.se:.3f}{seeds})"


def right(margins: Tensor) -> Tensor:
    """1 where a margin is above zero, 1/2 where it is zero."""
    return (margins > 0).double() + 0.5 * (margins == 0).double()


def parts_of(test: "TokenPairs") -> Parts:
    """What is known of the test pairs before any training."""
    lengths = test.lengths[:, 1:]
    longer = torch.from_numpy(lengths[:, 0] - lengths[:, 1])
    return Parts([pair.prompt_id for pair in test], strata(lengths), right(longer).tolist())


def accuracy(rights: Sequence[Tensor], prompts: Sequence[str]) -> Accuracy:
    """Rights [p] of each seed on the same pairs -> their mean with both standard errors.

    Over pairs: each pair's mean over the seeds, clustered by prompt, since pairs of one prompt are alike:
    sqrt(G / (G - 1) sum_g (sum_{i in g} (x_i - mean))^2) / p, over G prompts. Over seeds: sd / sqrt(seeds).
    """
    together = torch.stack([*rights])
    pairs = together.mean(0)
    value = pairs.mean().item()
    index = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    groups = torch.zeros(len(index), dtype=torch.float64)
    groups.index_add_(0, torch.tensor([index[prompt] for prompt in prompts]), pairs - value)
    count = len(index)
    spread = math.sqrt(groups.square().sum().item() * count / max(1, count - 1)) / len(pairs)
    means = together.mean(1).tolist()
    seeds = statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else None
    return Accuracy(value, spread, seeds)


def groups(results: Sequence[Result]) -> dict[tuple[str, int | str | None], list[Result]]:
    """The seeds of each way and number of layers."""
    found: dict[tuple[str, int | str | None], list[Result]] = {}
    for result in results:
        found.setdefault((result.way, result.layers), []).append(result)
    return found


def summary(seeds: Sequence[Result], reward: str, part: str | None = None) -> Accuracy | None:
    """The accuracy of a reward, on all test pairs or on those of one length; None where there are none."""
    parts = seeds[0].parts
    if part is None:
        return accuracy([r.rights[reward] for r in seeds], parts.prompts)
    mask = parts.by_length[part]
    if not mask.any():
        return None
    prompts = [prompt for prompt, inside in zip(parts.prompts, mask.tolist(), strict=True) if inside]
    return accuracy([r.rights[reward][mask] for r in seeds], prompts)


def figures(
    results: Sequence[Result], longer: Sequence[float], known: Mapping[str, float]
) -> dict[str, float]:
    """One flat object; with several numbers of layers, those after the first end in `_layers<n>`.

    `se` is the largest standard error over test pairs of an accuracy on all of them.
    """
    parts, errors = results[0].parts, []
    flat = dict(known) | {"n": float(len(longer)), "longer": statistics.mean(longer)}
    flat |= {f"n_{part}": float(mask.sum()) for part, mask in parts.by_length.items()}
    first = next((r.layers for r in results if r.layers is not None), None)
    for (way, layers), seeds in groups(results).items():
        end = "" if layers in (None, first) else f"_layers{layers}"
        for reward in ("sum", "implicit") if layers is not None else ("sum",):
            name = f"{reward}_accuracy_{way}{end}"
            whole = summary(seeds, reward)
            if whole is None:
                continue
            errors.append(whole.se)
            flat |= {name: whole.value, f"se_{name}": whole.se}
            if whole.se_seeds is not None:
                flat[f"se_seeds_{name}"] = whole.se_seeds
            for part in parts.by_length:
                if told := summary(seeds, reward, part):
                    flat |= {f"{name}_{part}": told.value, f"se_{name}_{part}": told.se}
        if layers is not None:
            gained = [r.after - r.before for r in seeds]
            flat[f"implicit_margin_{way}{end}"] = statistics.mean(g.mean().item() for g in gained)
            flat[f"implicit_calibration_error_{way}{end}"] = statistics.mean(
                calibration_error(g, r.beta) for g, r in zip(gained, seeds, strict=True)
            )
    return flat | {"se": max(errors)}


def table(
    results: Sequence[Result], longer: Sequence[float], known: Mapping[str, float], chosen: argparse.Namespace
) -> Table:
    """A line for each reward of each way and number of layers."""
    parts = results[0].parts
    shown = Table(
        title=f"{chosen.data.name}: {known['pairs']:.0f} pairs of at most {chosen.max_tokens} tokens, "
        f"{chosen.epochs:g} epochs, {chosen.seeds} seeds; accuracy on {len(longer)} pairs of "
        f"{chosen.test.name} with its standard error over pairs{', over seeds' * (chosen.seeds > 1)}",
        title_justify="left",
    )
    for column in ("objective", "layers", "reward", "accuracy"):
        shown.add_column(column, justify="right" if column == "accuracy" else "left")
    for part, mask in parts.by_length.items():
        shown.add_column(f"{TITLES[part]} (n = {int(mask.sum())})", justify="right")
    for (way, layers), seeds in groups(results).items():
        for reward in ("sum", "implicit") if layers is not None else ("sum",):
            told = [summary(seeds, reward), *(summary(seeds, reward, part) for part in parts.by_length)]
            cells = ["" if one is None else str(one) for one in told]
            shown.add_row(NAMES[way], "" if layers is None else str(layers), reward, *cells)
    error = statistics.pstdev(longer) / math.sqrt(len(longer))
    shown.add_row('"longer is chosen"', "", "", f"{statistics.mean(longer):.3f} ({error:.3f})")
    return shown

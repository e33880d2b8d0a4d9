"""Whether packing changes what an ARM learns: held-out accuracy, two padded rows a pair against ours.

    python benchmarks/train_quality.py --data seed/positive.jsonl --pairs 560
    python benchmarks/train_quality.py --data FILE --test FILE --pairs 2000 --max-tokens 128 --layers 8

Both ways start from the same adapter and take the same steps for a seed; benchmarks/README.md has figures.
"""

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from decode import BF16_FLAGS, processor

from genarm.models import EMBEDDED
from genarm.system.env import prepare, project_root

if TYPE_CHECKING:
    from rich.table import Table
    from train_pairs import Pair

    from genarm.config import TrainConfig
    from genarm.models import ModelSource
    from genarm.training.token_cache import TokenPairs

ROOT = project_root(Path(__file__).parent)
WAYS = {"plain": "two padded rows a pair", "ours": "packed, prompts shared"}


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="JSON lines of pairs")
    parser.add_argument("--test", type=Path, metavar="FILE", help="held-out pairs; else prompts of --data")
    parser.add_argument("--pairs", type=int, default=560, help="pairs of a training")
    parser.add_argument("--held-out", type=int, default=400, help="pairs that measure it, at most")
    parser.add_argument("--max-tokens", type=int, default=512, help="longer pairs are left out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--layers", type=int, help="the uppermost that are adapted (all)")
    parser.add_argument("--beta", type=float, default=0.02)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--batch-pairs", type=int, default=8)
    parser.add_argument("--model", default=EMBEDDED, help="any name that params.yaml takes for a base")
    parser.add_argument("--dtype", help="bfloat16 where the processor has it, else float32")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, one flat object")
    chosen = parser.parse_args(arguments)
    chosen.dtype = chosen.dtype or ("bfloat16" if processor()[1] & BF16_FLAGS else "float32")
    return chosen


def main(arguments: list[str] | None = None) -> None:
    """Train both ways for each seed, show the accuracies and write the JSON file."""
    chosen = options(arguments)
    prepare(ROOT)
    from rich.console import Console

    results = measure(chosen)
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table(results, chosen))
    if chosen.json:
        rounded = {key: round(value, 4) for key, value in results.items()}
        chosen.json.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


def measure(chosen: argparse.Namespace) -> dict[str, float]:
    """Accuracy before and after each training by way and seed, its seconds, and "longer is chosen"."""
    from train_pairs import draw
    from train_rows import in_memory

    from genarm.config import LoraConfig, TrainConfig
    from genarm.data.lengths import longer_is_chosen
    from genarm.models import load_tokenizer, resolve

    source = resolve(chosen.model)
    tokenizer = load_tokenizer(source)

    def drawn(file: Path) -> "list[Pair]":
        return draw([file], tokenizer, count=10**9, max_tokens=chosen.max_tokens, seed=0)

    if chosen.test:
        pairs, rest = drawn(chosen.data), drawn(chosen.test)
    else:
        pairs, rest = split(drawn(chosen.data), chosen.held_out)
    data, held_out = in_memory("train", pairs[: chosen.pairs]), in_memory("test", rest[: chosen.held_out])
    config = TrainConfig(
        objective="arm",
        beta=chosen.beta,
        learning_rate=chosen.learning_rate,
        batch_pairs=chosen.batch_pairs,
        evaluate_steps=10**9,
        checkpoint_minutes=1e6,
        lora=LoraConfig(layers=chosen.layers or "all"),
    )
    results = {
        "pairs": float(len(data)),
        "held_out": float(len(held_out)),
        "longer_is_chosen": longer_is_chosen(held_out.lengths[:, 1:].tolist()),
    }
    for seed in range(chosen.seeds):
        for way in WAYS:
            begun = time.monotonic()
            settings = config.model_copy(update={"seed": seed})
            before, after = accuracies(source, chosen.dtype, settings, data, held_out, way)
            seconds = time.monotonic() - begun
            results |= {
                f"{way}_before": before,
                f"{way}_seed{seed}": after,
            }  # a fresh adapter changes nothing
            results[f"{way}_seconds_seed{seed}"] = seconds
            print(f"{way}, seed {seed}: {before:.3f}, then {after:.3f} ({seconds:.0f} s)", file=sys.stderr)
    return results


def split(pairs: "Sequence[Pair]", held_out: int) -> "tuple[list[Pair], list[Pair]]":
    """Pairs to train on and about `held_out` others to measure with; no prompt is on both sides."""
    by_prompt: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_prompt.setdefault(pair.prompt, []).append(pair)
    prompts = list(by_prompt)
    random.Random(0).shuffle(prompts)
    rest: list[Pair] = []
    while len(rest) < min(held_out, len(pairs) // 2):
        rest += by_prompt[prompts.pop()]
    kept = set(prompts)
    return [pair for pair in pairs if pair.prompt in kept], rest


def accuracies(
    source: "ModelSource",
    dtype: str,
    config: "TrainConfig",
    data: "TokenPairs",
    held_out: "TokenPairs",
    way: str,
) -> tuple[float, float]:
    """Held-out accuracy before and after one training."""
    from transformers import set_seed

    from genarm.models import load_model
    from genarm.training.logps import prepare as prepare_model
    from genarm.training.lora import add_lora, fuse_lora
    from genarm.training.trainer import ArmTrainer

    set_seed(config.seed)
    model = load_model(source, dtype)
    if way == "ours" and not prepare_model(model, data):
        raise SystemExit("this model's rows cannot be packed")
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", FutureWarning)  # peft's
        adapted = add_lora(model, config.lora)
        fuse_lora(adapted)
        title = f"{way}, seed {config.seed}"
        trainer = ArmTrainer(adapted, config, data, held_out, Path(folder), title=title, packed=way == "ours")
        trainer.run(way)
    rows = [row["eval/rewards/accuracies"] for row in trainer.curves if "eval/rewards/accuracies" in row]
    return rows[0], rows[-1]


def table(results: Mapping[str, float], chosen: argparse.Namespace) -> "Table":
    """A line a way, and the difference of their means beside the error that seeds alone would give it."""
    from rich.table import Table

    error = math.sqrt(0.25 / results["held_out"])
    shown = Table(
        title=f"{chosen.data.name}: trained on {results['pairs']:.0f} pairs of at most {chosen.max_tokens} "
        f"tokens, adapters on {chosen.layers or 'all'} layers; accuracy on {results['held_out']:.0f} "
        f"held-out pairs, standard error {error:.3f}",
        title_justify="left",
    )
    seeds = range(chosen.seeds)
    for name in ("", "before", *(f"seed {seed}" for seed in seeds), "mean"):
        shown.add_column(name, justify="right" if name else "left")
    means, spreads = {}, {}
    for way, title in WAYS.items():
        values = [results[f"{way}_seed{seed}"] for seed in seeds]
        means[way] = statistics.mean(values)
        spreads[way] = statistics.variance(values) if len(values) > 1 else math.nan
        shown.add_row(title, *(f"{value:.3f}" for value in (results[f"{way}_before"], *values, means[way])))
    off = math.sqrt(sum(spreads.values()) / len(seeds))
    blank = [""] * (1 + len(seeds))
    shown.add_row("difference", *blank, f"{means['ours'] - means['plain']:+.3f} +- {off:.3f}")
    shown.add_row('"longer is chosen"', *blank, f"{results['longer_is_chosen']:.3f}")
    return shown


if __name__ == "__main__":
    main()

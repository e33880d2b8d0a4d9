"""Whether an ARM learns given preferences: accuracy on other pairs, by objective, layers and length.

    python benchmarks/preferences.py --data FILE --test FILE                   both objectives, three seeds
    python benchmarks/preferences.py --data FILE --test FILE --layers 4 --pairs 200 --seeds 1      a look
    python benchmarks/preferences.py --data FILE --test FILE --layers 8,all --trl --json figures.json

Files are of any format that `genarm pairs` reads. benchmarks/README.md says what each figure is.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from decode import BF16_FLAGS, processor

from genarm.models import EMBEDDED
from genarm.system.env import prepare, project_root

if TYPE_CHECKING:
    from preferences_figures import Result

ROOT = project_root(Path(__file__).parent)
BETA = {"arm": 0.05, "dpo": 0.1}  # unless another one is given for all
TRL = "trl_dpo"


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="pairs to train on")
    parser.add_argument("--test", type=Path, required=True, metavar="FILE", help="pairs to measure with")
    parser.add_argument("--preferred", choices=("better_response_id", "safer_response_id"),
                        help="which label is meant, where the rows have several")  # fmt: skip
    parser.add_argument("--pairs", type=int, help="train on so many, drawn once (all)")
    parser.add_argument("--test-pairs", type=int, help="measure with so many, drawn once (all)")
    parser.add_argument("--max-tokens", type=int, default=512, help="longer pairs are left out and counted")
    parser.add_argument("--objectives", default="arm,dpo", help="separated by commas")
    parser.add_argument("--trl", action="store_true", help="train TRL's DPOTrainer on the same steps, too")
    parser.add_argument("--layers", default="8",
                        help="the uppermost that are adapted, or all; several with commas")  # fmt: skip
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--beta", type=float, help=f"for all objectives ({BETA['arm']}; dpo: {BETA['dpo']})")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--batch-pairs", type=int, default=8, help="pairs of an optimiser step")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--base", default=EMBEDDED, help="any name that params.yaml takes for a base")
    parser.add_argument("--device", help="cpu or cuda (a GPU where there is one)")
    parser.add_argument("--dtype", help="bfloat16 where the processor or the GPU has it, else float32")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, one flat object")
    chosen = parser.parse_args(arguments)
    chosen.objectives = tuple(chosen.objectives.split(","))
    if unknown := set(chosen.objectives) - set(BETA):
        parser.error(f"no objective {min(unknown)!r}; there are {', '.join(BETA)}")
    try:
        chosen.layers = tuple(part if part == "all" else int(part) for part in chosen.layers.split(","))
    except ValueError:
        parser.error(f"--layers {chosen.layers}: give numbers or all, separated by commas")
    if chosen.trl and chosen.batch_pairs % 2:
        parser.error(f"--batch-pairs {chosen.batch_pairs}: with --trl, which reads 2 at a time, it is even")
    for file in (chosen.data, chosen.test):
        if not file.is_file():
            parser.error(f"no file at {file}")
    return chosen


def main(arguments: list[str] | None = None) -> None:
    """Train and measure everything, show the table and write the JSON file."""
    chosen = options(arguments)
    prepare(ROOT)
    from preferences_figures import figures, table
    from rich.console import Console

    from genarm.errors import GenarmError

    try:
        results, longer, known = measure(chosen)
    except GenarmError as error:
        raise SystemExit(str(error)) from None
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table(results, longer, known, chosen))
    if chosen.json:
        rounded = {key: round(value, 5) for key, value in figures(results, longer, known).items()}
        chosen.json.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


def measure(chosen: argparse.Namespace) -> "tuple[list[Result], list[float], dict[str, float]]":
    """Every training's margins on the test pairs; what preferring the longer response gets; counts."""
    import torch
    from preferences_figures import Result, parts_of
    from preferences_train import before_training, drawn, ours

    from genarm.config import LoraConfig, TrainConfig
    from genarm.models import load_tokenizer, resolve

    cuda = torch.cuda.is_available() if chosen.device is None else chosen.device.startswith("cuda")
    chosen.device = chosen.device or ("cuda" if cuda else "cpu")
    chosen.dtype = chosen.dtype or ("bfloat16" if cuda or processor()[1] & BF16_FLAGS else "float32")
    source = resolve(chosen.base)
    tokenizer = load_tokenizer(source)
    data, left_out = drawn(chosen.data, tokenizer, chosen.pairs, chosen)
    test, test_left_out = drawn(chosen.test, tokenizer, chosen.test_pairs, chosen)
    say(f"{len(data)} pairs to train on, {len(test)} to measure with; left out: {left_out + test_left_out}")
    parts = parts_of(test)
    begun = time.monotonic()
    start = before_training(source, chosen, data, test)
    say(f"scored before training ({time.monotonic() - begun:.0f} s)")
    margins = (start.held_out[:, 0] - start.held_out[:, 1]).double()
    results = [Result("before", None, 0, margins, margins, parts, 1.0)]
    ways = [*chosen.objectives, *([TRL] if chosen.trl else [])]
    todo = [(layers, way, seed) for layers in chosen.layers for way in ways for seed in range(chosen.seeds)]
    for number, (layers, way, seed) in enumerate(todo, 1):
        objective = "dpo" if way == TRL else way
        config = TrainConfig(
            objective=objective,
            beta=chosen.beta or BETA[objective],
            learning_rate=chosen.learning_rate,
            epochs=chosen.epochs,
            batch_pairs=chosen.batch_pairs,
            batch_tokens=max(2048, chosen.max_tokens),
            evaluate_steps=10**9,
            checkpoint_minutes=1e6,
            seed=seed,
            lora=LoraConfig(layers=layers, rank=chosen.rank, alpha=2 * chosen.rank),
        )
        if way == TRL:
            from preferences_trl import trl as train
        else:
            train = ours
        begun = time.monotonic()
        after = train(source, chosen, config, data, test, start)
        result = Result(way, layers, seed, after, margins, parts, config.beta)
        results.append(result)
        say(
            f"{number} of {len(todo)}: {way}, layers {layers}, seed {seed}: sum {result.sum_accuracy:.3f}, "
            f"implicit {result.implicit_accuracy:.3f} ({time.monotonic() - begun:.0f} s)"
        )
    known = {"pairs": float(len(data)), "left_out": float(left_out + test_left_out)}
    return results, parts.longer_is_right, known


def say(message: str) -> None:
    """Show how far it is."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

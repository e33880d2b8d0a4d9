"""How fast ARMs train: ours against TRL's DPO and CPO trainers, a plain version of ours, and arithmetic.

    python benchmarks/train.py                             the seed pairs, about 15 minutes on two cores
    python benchmarks/train.py --quick --json FILE         a look, under 5 minutes
    python benchmarks/train.py --data FILE                 other pairs: prompt, chosen, rejected
    python benchmarks/train.py --device cuda --shape 7b    random weights on a GPU

benchmarks/README.md says what each row is.
"""

import argparse
import datetime
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from decode import BF16_FLAGS, processor

from genarm.models import EMBEDDED
from genarm.system.env import prepare, project_root
from genarm.system.progress import counting

if TYPE_CHECKING:
    from train_pairs import Job

ROOT = project_root(Path(__file__).parent)
SEED_PAIRS = (ROOT / "seed" / "positive.jsonl", ROOT / "seed" / "plain.jsonl")
ROWS = ("trl_dpo", "trl_cpo", "plain", "ours", "trl_cpo_top8", "ours_top8", "limit")
TOP = 8  # layers
ALIKE = 0.1  # of a loss that several rows compute, over the first step


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command line, with defaults that depend on one another and on the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, one flat object")
    parser.add_argument("--data", type=Path, metavar="FILE", help="JSON lines of pairs (the seed pairs)")
    parser.add_argument("--quick", action="store_true", help="one repeat of few pairs: a look, not a figure")
    parser.add_argument("--repeats", type=int, help="medians of so many (3; quick: 1)")
    parser.add_argument("--pairs", type=int, help="pairs of one run of a row (64; quick: 16)")
    parser.add_argument("--batch-pairs", type=int, help="pairs of an optimiser step (8; quick: 4)")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="tokens of a forward pass of ours")
    parser.add_argument(
        "--max-tokens", type=int, default=1024, help="longer pairs are left out, for all rows"
    )
    parser.add_argument("--trl-pairs", type=int, default=2, help="pairs of a forward pass of TRL")
    parser.add_argument("--checkpointing", action="store_true",
                        help="TRL with gradient checkpointing, its default: smaller, slower")  # fmt: skip
    parser.add_argument("--rows", help="only these rows, by name, separated by commas")
    parser.add_argument("--model", default=EMBEDDED, help="any name that params.yaml takes for a base")
    parser.add_argument("--shape", choices=("tiny", "1b", "7b"), help="a Llama of random weights instead")
    parser.add_argument("--top", type=int, default=TOP, help="layers that the *_top8 rows adapt")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", help="bfloat16 where the processor has it, else float32")
    parser.add_argument("--threads", type=int, help="of torch (as many as there are cores)")
    chosen = parser.parse_args(arguments)
    chosen.repeats = chosen.repeats or (1 if chosen.quick else 3)
    chosen.pairs = chosen.pairs or (16 if chosen.quick else 64)
    chosen.batch_pairs = chosen.batch_pairs or (4 if chosen.quick else 8)
    chosen.threads = chosen.threads or os.cpu_count() or 1
    chosen.batch_tokens = max(chosen.batch_tokens, chosen.max_tokens)
    if chosen.batch_pairs % chosen.trl_pairs:
        parser.error(f"--trl-pairs {chosen.trl_pairs} does not divide --batch-pairs {chosen.batch_pairs}")
    rows = tuple(chosen.rows.split(",")) if chosen.rows else ROWS
    if unknown := set(rows) - set(ROWS):
        parser.error(f"no row {min(unknown)!r}; there are {', '.join(ROWS)}")
    if importlib.util.find_spec("trl") is None:
        rows = tuple(row for row in rows if not row.startswith("trl_"))
        print("TRL is not installed, its rows are left out: pip install -e '.[bench]'", file=sys.stderr)
    chosen.rows = rows
    _, flags = processor()
    chosen.dtype = chosen.dtype or ("bfloat16" if chosen.device != "cpu" or flags & BF16_FLAGS else "float32")
    return chosen


def main(arguments: list[str] | None = None) -> None:
    """Draw the pairs, time every row on them, show tables and write the JSON file."""
    chosen = options(arguments)
    prepare(ROOT)  # before torch: it decides how threads wait, for all rows
    from decode_figures import show
    from rich.console import Console
    from train_figures import tables
    from train_pairs import Job, draw, write

    from genarm.models import load_tokenizer, resolve

    files = [chosen.data] if chosen.data else SEED_PAIRS
    tokenizer = load_tokenizer(resolve(chosen.model))
    pairs = draw(files, tokenizer, count=chosen.pairs, max_tokens=chosen.max_tokens, seed=0)
    steps = len(pairs) // chosen.batch_pairs
    if steps < 2:
        raise SystemExit(
            f"{len(pairs)} pairs of at most {chosen.max_tokens} tokens are no two steps of "
            f"{chosen.batch_pairs}, and the first is not timed; raise --pairs or --max-tokens"
        )
    pairs = pairs[: steps * chosen.batch_pairs]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.jsonl"  # goes when the run ends, as the data may not be ours to keep
        write(file, pairs)
        job = Job(
            "", str(file), chosen.model, chosen.shape, chosen.device, chosen.dtype, chosen.threads,
            chosen.batch_pairs, chosen.batch_tokens, chosen.trl_pairs, chosen.checkpointing, None,
        )  # fmt: skip
        figures, spread, rate = measure(job, chosen)
    lengths = [
        statistics.mean(len(getattr(pair.ids, part)) for pair in pairs)
        for part in ("prompt", "chosen", "rejected")
    ]
    console = Console(width=None if sys.stdout.isatty() else 120)
    show(console, setting(chosen, len(pairs), lengths, rate))
    show(console, tables(figures, spread))
    if chosen.json:
        rounded = {key: round(value, 3) for key, value in figures.items()}
        chosen.json.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


def measure(
    job: "Job", chosen: argparse.Namespace
) -> tuple[dict[str, float], dict[str, tuple[float, float]], float]:
    """Medians of the repeats by key, the range of each row's pairs/s, and multiply-adds a second.

    Rows take turns within a repeat, so that what else the machine does falls on all of them.
    """
    every: dict[str, list[float]] = defaultdict(list)
    with counting("training", chosen.repeats * len(chosen.rows), "runs") as advance:
        for _ in range(chosen.repeats):
            alike: dict[str, dict[str, float]] = {}
            for row in chosen.rows:
                layers = chosen.top if row.endswith("_top8") or row == "limit" else None
                result = run(replace(job, row=row, layers=layers))
                if row == "limit":
                    for key, value in result.items():
                        every[key].append(value)
                else:
                    alike[row] = result
                    every[row].append(result["pairs"] / result["seconds"])
                    every[f"tokens_per_s_{row}"].append(result["tokens"] / result["seconds"])
                    every[f"mem_{row}_mb"].append(result["peak_mb"])
                advance(1)
            check_alike(alike)
    rates = every.pop("rate", [0.0])
    figures = {key: statistics.median(values) for key, values in every.items()}
    spread = {row: (min(every[row]), max(every[row])) for row in chosen.rows if len(every[row]) > 1}
    return figures, spread, statistics.median(rates)


def run(job: "Job") -> dict[str, float]:
    """One row in a separate process: fresh memory, no module that another row has changed."""
    command = [sys.executable, str(Path(__file__).parent / "train_rows.py"), json.dumps(asdict(job))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the row {job.row} failed:\n{done.stderr[-4000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def check_alike(results: dict[str, dict[str, float]]) -> None:
    """Raise SystemExit unless rows that should compute the same thing had the same first loss and adapters.

    Adapters start at zero, so where they sit does not matter yet; DPO's first loss is log 2 for any pairs.
    """
    losses = {row: one["loss"] for row, one in results.items() if row != "trl_dpo"}
    if losses and max(losses.values()) > (1 + ALIKE) * min(losses.values()):
        raise SystemExit(f"the rows do not compute the same loss: {losses}")
    for top in (True, False):
        trained = {row: one["trained"] for row, one in results.items() if row.endswith("_top8") == top}
        if len(set(trained.values())) > 1:
            raise SystemExit(f"the rows do not train as many numbers: {trained}")


def setting(chosen: argparse.Namespace, pairs: int, lengths: Sequence[float], rate: float) -> str:
    """What the figures were measured on and with."""
    import torch

    where = torch.cuda.get_device_name() if chosen.device.startswith("cuda") else processor()[0]
    libraries = ", ".join(
        f"{name} {version(name)}"
        for name in ("torch", "transformers", "peft", "trl")
        if importlib.util.find_spec(name)
    )
    prompt, good, bad = lengths
    return (
        f"{datetime.date.today()}  {where}, {chosen.threads} threads of {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}, {rate / 1e9:.0f} billion multiply-adds/s\n"
        f"{libraries}, {chosen.dtype}, {chosen.shape or chosen.model}\n"
        f"{chosen.data.name if chosen.data else 'seed pairs'}: {pairs} pairs of at most {chosen.max_tokens} "
        f"tokens, on average {prompt:.0f} + {good:.0f} + {bad:.0f}; {chosen.batch_pairs} a step, "
        f"{chosen.repeats} repeats{', a quick look' if chosen.quick else ''}"
        f"{', TRL with gradient checkpointing' if chosen.checkpointing else ''}"
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the row under way ends, too
    main()

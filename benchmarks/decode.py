"""How fast guided decoding is: ours against the base alone, against Hugging Face, and against arithmetic.

    python benchmarks/decode.py                            the whole table, about 20 minutes on two cores
    python benchmarks/decode.py --quick --json FILE        a look, under 3 minutes
    python benchmarks/decode.py --profile shared1_b32      where the time goes
    python benchmarks/decode.py --device cuda --shape 1b   random weights on a GPU

benchmarks/README.md says what each row is.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from resident import resident_peak_mb

from genarm.models import EMBEDDED
from genarm.system.env import prepare, project_root
from genarm.system.progress import counting

if TYPE_CHECKING:
    from decode_models import Job, Models

CPU_ROWS = (
    "hf_base", "hf_processor", "hf_processor4", "base", "shared1", "contrast1", "shared2", "shared4",
    "shared1_all", "shared4_all", "separate1", "strong_base", "guided_strong", "spec_guided",
)  # fmt: skip
SHAPE_ROWS = ("hf_base", "eager", "base", "shared1", "contrast1", "shared4", "eager_shared1")
GPU_ROWS = (*SHAPE_ROWS, "compiled", "hf_static")  # the last two compile before they run
OTHER_ROWS = ("hf_static", "compiled", "eager", "eager_shared1")
VARIED_ROWS = ("hf_base", "base")
STRONG_ROWS = CPU_ROWS[-3:]  # at batch 1 alone
SLOW = ("shared4_all",)  # left out of a quick run
MEMORY_ROWS = ("base", "shared4")
BF16_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}  # Intel, Intel and AMD, Arm
OPERATORS = 20  # of a profile
COPIED = {"cpu": 2**28, "cuda": 2**30}  # bytes, more than any cache holds, to see how fast memory is


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line's options, with the defaults that depend on others filled in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, one flat object")
    parser.add_argument("--quick", action="store_true", help="one repeat, 8 new tokens: a look, not a figure")
    parser.add_argument("--repeats", type=int, help="medians of so many (3; quick: 1)")
    parser.add_argument("--batches", help="batch sizes (1,8,32; with --shape 1,64)")
    parser.add_argument("--prompt", type=int, default=40, help="tokens of each prompt")
    parser.add_argument("--new", type=int, help="tokens of each response (64; quick: 8)")
    parser.add_argument("--rows", help="only these rows, by name, separated by commas")
    parser.add_argument("--model", default=EMBEDDED, help="any name that params.yaml takes for a base")
    parser.add_argument("--shape", choices=("tiny", "1b", "8b"), help="a Llama of random weights instead")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", help="bfloat16 where the processor has it, else float32")
    parser.add_argument("--threads", type=int, help="of torch (as many as there are cores)")
    parser.add_argument("--noise", type=float, help="of the strong base's added layers, instead of a search")
    parser.add_argument("--profile", metavar="ROW", help="profile one row and batch, such as shared1_b32")
    parser.add_argument(
        "--memory", choices=MEMORY_ROWS, help="print the peak memory of one row in MB, no more"
    )
    chosen = parser.parse_args(arguments)
    chosen.repeats = chosen.repeats or (1 if chosen.quick else 3)
    chosen.new = chosen.new or (8 if chosen.quick else 64)
    sizes = chosen.batches or ("1,64" if chosen.shape else "1,8,32")
    chosen.batches = sorted(int(size) for size in sizes.split(","))
    rows: tuple[str, ...] = CPU_ROWS if chosen.shape is None else SHAPE_ROWS
    if chosen.device.startswith("cuda"):
        rows = GPU_ROWS
    if chosen.rows:
        rows = tuple(chosen.rows.split(","))
        if unknown := set(rows) - {*CPU_ROWS, *OTHER_ROWS}:
            parser.error(f"no row {min(unknown)!r}; there are {', '.join((*CPU_ROWS, *OTHER_ROWS))}")
    elif chosen.quick:
        rows = tuple(row for row in rows if row not in SLOW)
    chosen.rows = rows
    _, flags = processor()
    chosen.dtype = chosen.dtype or ("bfloat16" if chosen.device != "cpu" or flags & BF16_FLAGS else "float32")
    return chosen


def processor() -> tuple[str, set[str]]:
    """The name of the processor and what it can do, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return facts.get("model name", platform.machine()), set(
        facts.get("flags", facts.get("Features", "")).split()
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, and write the file that is asked for."""
    chosen = options(arguments)
    prepare(project_root(Path(__file__).parent))  # before torch: it decides how threads wait, for all rows
    import torch
    from decode_figures import show, tables
    from decode_models import Models
    from rich.console import Console

    torch.set_num_threads(chosen.threads or os.cpu_count() or 1)
    models = Models(chosen.model, chosen.shape, chosen.device, chosen.dtype, alone=bool(chosen.memory))
    if chosen.memory:
        print(peak_memory(models, chosen))
    elif chosen.profile:
        print(profile(models, chosen))
    else:
        figures, spread, note = measure(models, chosen)
        if chosen.shape is None and chosen.device == "cpu":
            figures |= {f"mem_{row}_mb": memory_of(row, chosen) for row in MEMORY_ROWS if row in chosen.rows}
        jobs = list(planned(chosen))
        console = Console(width=None if sys.stdout.isatty() else 120)
        show(console, "\n".join(filter(None, (setting(models, chosen), note))))
        show(console, tables(figures, spread, jobs, chosen.shape is not None))
        if chosen.json:
            chosen.json.write_text(
                json.dumps({key: round(value, 3) for key, value in figures.items()}, indent=1) + "\n",
                encoding="utf-8",
            )


def jobs_of(models: "Models", chosen: argparse.Namespace, batch: int | None, seed: int) -> "Job":
    """A job of one batch size; None for three batches' worth of responses whose lengths vary."""
    from decode_models import varied_lengths

    count = 3 * chosen.batches[-1] if batch is None else batch
    lengths = varied_lengths(count, chosen.new) if batch is None else [chosen.new] * count
    return models.job(count, chosen.prompt, lengths, seed)


def measure(
    models: "Models", chosen: argparse.Namespace
) -> tuple[dict[str, float], dict[str, tuple[float, float]], str]:
    """Tokens/s of each row and job, medians of the repeats, their range where there are several, and a note.

    Rows take turns within a repeat, so that what else the machine does falls on all of them.
    """
    import torch
    from decode_rows import Rows

    rows = Rows(models, chosen.batches[-1], chosen.prompt, chosen.new, chosen.noise)
    plan = planned(chosen)
    speeds = defaultdict(list)
    runs = (chosen.repeats + 1) * sum(len(names) for _, names in plan.values())
    with counting("decoding", runs, "runs") as advance:
        for number, (job, (batch, names)) in enumerate(plan.items()):
            for name in names:  # made, and warm: run once with the memory and kernels that this size takes
                if number == 0 or not chosen.quick:
                    rows[name](models.job(batch or 1, chosen.prompt, [2] * (batch or 1), seed=2**30))
                advance(1)
            rows.forget_acceptance()
            for repeat in range(chosen.repeats):
                for name in names:
                    asked = jobs_of(models, chosen, batch, repeat)
                    torch.manual_seed(repeat)
                    start = time.perf_counter()
                    tokens = rows[name](asked)
                    speeds[f"{name}_{job}"].append(tokens / (time.perf_counter() - start))
                    advance(1)
            if "spec_guided" in names:
                speeds["acceptance"] = [rows.acceptance]
    figures = {key: statistics.median(values) for key, values in speeds.items()}
    for name, share in rows.limits(chosen.prompt, chosen.new).items():
        for size in chosen.batches:
            if f"{name}_b{size}" in figures and f"base_b{size}" in figures:
                figures[f"limit_{name}_b{size}"] = figures[f"base_b{size}"] * share
    reading = weights_read(models)
    figures |= {f"limit_weights_b{size}": size / reading for size in chosen.batches}
    spread = {key: (min(values), max(values)) for key, values in speeds.items() if len(values) > 1}
    return figures, spread, rows.note


def weights_read(models: "Models") -> float:
    """Seconds that reading all weights once takes at the speed at which this device copies memory."""
    import torch
    from train_limits import now

    source = torch.empty(COPIED[models.device.type], dtype=torch.uint8, device=models.device)
    target, times = torch.empty_like(source), []
    for _ in range(8):
        begun = now(models.device)
        target.copy_(source)
        times.append(now(models.device) - begun)
    unique = {p.data_ptr(): p.numel() * p.element_size() for p in models.original.parameters()}
    return sum(unique.values()) * statistics.median(times) / (2 * source.numel())


def planned(chosen: argparse.Namespace) -> dict[str, tuple[int | None, list[str]]]:
    """For each job its batch size, None for lengths that vary, and the rows that do it."""
    plan: dict[str, tuple[int | None, list[str]]] = {}
    for size in chosen.batches:
        plan[f"b{size}"] = size, [row for row in chosen.rows if size == 1 or row not in STRONG_ROWS]
    varied = [row for row in VARIED_ROWS if row in chosen.rows]
    return plan if chosen.shape or not varied else plan | {"varied": (None, varied)}


def memory_of(row: str, chosen: argparse.Namespace) -> float:
    """Peak resident memory in MB of a process that loads the model and decodes one batch, no more."""
    command = [
        sys.executable, __file__, "--memory", row, "--model", chosen.model, "--dtype", chosen.dtype,
        "--batches", str(chosen.batches[-1]), "--prompt", str(chosen.prompt), "--new", str(chosen.new),
        *(["--threads", str(chosen.threads)] if chosen.threads else []),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def peak_memory(models: "Models", chosen: argparse.Namespace) -> float:
    """Peak resident memory in MB of this process, after one row decoded one batch."""
    from decode_rows import Rows

    Rows(models, slots=chosen.batches[-1])[chosen.memory](jobs_of(models, chosen, chosen.batches[-1], 0))
    return resident_peak_mb()


def profile(models: "Models", chosen: argparse.Namespace) -> str:
    """The operators that take most of the time of one row and batch, by their own time."""
    from decode_rows import Rows
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiling

    name, _, size = chosen.profile.rpartition("_b")
    batch = None if chosen.profile.endswith("_varied") else int(size)
    name = chosen.profile.removesuffix("_varied") if batch is None else name
    row = Rows(models, slots=batch or chosen.batches[-1])[name]
    job = jobs_of(models, chosen, batch, 0)
    row(job)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if chosen.device != "cpu" else [])]
    with profiling(activities=activities) as seen:
        row(job)
    by = "self_cpu_time_total" if chosen.device == "cpu" else "self_device_time_total"
    return seen.key_averages().table(sort_by=by, row_limit=OPERATORS, max_name_column_width=48)


def setting(models: "Models", chosen: argparse.Namespace) -> str:
    """What the figures were measured on and with."""
    import torch
    import transformers

    where = torch.cuda.get_device_name() if chosen.device.startswith("cuda") else processor()[0]
    return (
        f"{datetime.date.today()}  {where}, {torch.get_num_threads()} threads of {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}\n"
        f"torch {torch.__version__}, transformers {transformers.__version__}, {chosen.dtype}, "
        f"{chosen.shape or chosen.model}: {models.depth} layers, ARMs on the top {models.top}\n"
        f"prompts of {chosen.prompt} tokens, {chosen.new} new, {chosen.repeats} repeats"
        f"{', a quick look' if chosen.quick else ''}"
    )


if __name__ == "__main__":
    main()

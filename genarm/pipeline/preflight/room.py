"""Whether memory and disk suffice, by an estimate that is said; only what is certain is refused.

The estimates leave out what they cannot know, such as the fragmentation of memory, and are right within a
factor of about two. So a need above what is free is told as a warning, with the parameter that lowers it.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from genarm.config import TrainConfig
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.preflight.judge_room import judge_models
from genarm.pipeline.preflight.models import shape_of
from genarm.pipeline.preflight.shape import ModelShape
from genarm.pipeline.project import Project
from genarm.pipeline.space import GIB, free_bytes, gib, used_bytes

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
NF4 = 0.55  # bytes a weight, with its scales
TRAINED = 16  # bytes: a weight, its gradient and the two moments of AdamW, all in float32
# Values that a token, layer and unit of width keep for the backward pass, and what Python and its libraries
# take before any weight: they fit the peaks in benchmarks/README.md, 2.6 GB for all layers, 1.6 for 8 of 30.
ACTIVATIONS, LIBRARIES = 22, GIB * 4 // 5
CONTAINER = Path("/sys/fs/cgroup")  # has the limits of this container, if it is one
LOGITS = GIB * 3 // 32  # that training computes at a time on a CPU; on a GPU they are a share of it
COPIES = 4  # of an ARM: its folder, DVC's cache, MLflow's store, and one of the champion


@dataclass(frozen=True, slots=True)
class Capacity:
    """Memory in bytes, of the machine or of its GPUs."""

    what: str
    total: int
    free: int


def memory_need(project: Project) -> list[CheckResult]:
    """What training, answering and judging need at most, against the memory of the GPUs or of the machine."""
    params, results = project.params, list[CheckResult]()
    shape = shape_of(params.base.model, params.base.revision)
    if shape is None:
        return [ok("memory", "is estimated once the base model is on disk")]
    here, width = capacity(), BYTES[params.base.dtype]
    configs = {d: params.train_config(d) for d in params.dimensions}
    weights = shape.parameters * width
    if weights > here.total and not any(config.quantise for config in configs.values()):
        detail = f"the weights of {params.base.model} take {gib(weights)}, {here.what} has {gib(here.total)}"
        return [fail("memory", detail, "choose a smaller base.model, or base.dtype: bfloat16")]
    needs = {d: training_bytes(c, _arm_shape(project, d) or shape, width) for d, c in configs.items()}
    hardest = max(needs, key=lambda d: needs[d])
    training, answering = needs[hardest], answering_bytes(project, shape, width)
    free = f"{gib(here.free)} of {here.what} are free"
    if training > here.free and not params.pools.train:
        knob = f"lower train.batch_tokens ({configs[hardest].batch_tokens})"
        if not configs[hardest].gradient_checkpointing:
            knob += ", or set train.gradient_checkpointing: true"
        results.append(warn("memory", f"training {hardest} needs about {gib(training)}, {free}", knob))
    if answering > here.free and not (params.pools.respond and params.pools.tune):
        knob = f"lower respond.sampling.batch_size ({params.respond.sampling.batch_size})"
        results.append(warn("memory", f"answering needs about {gib(answering)}, {free}", knob))
    judging, found = _judging(project, answering, here)
    results += found
    judged = f", {gib(judging)} to judge" if judging else ""
    told = f"about {gib(training)} to train, {gib(answering)} to answer{judged}; {free}"
    return results or [ok("memory", told)]


def _judging(project: Project, answering: int, here: Capacity) -> tuple[int, list[CheckResult]]:
    """What judging takes at most, 0 without a model that judges here, and what is wrong with that.

    Judges are loaded one after another; while a weight is tuned, base and ARM stay in memory beside them.
    """
    most, results = 0, list[CheckResult]()
    for model in judge_models(project):
        need = model.weights + model.pass_bytes + (answering if model.tunes else LIBRARIES)
        who, most = f"{model.key}: {model.name}", max(most, need)
        if model.weights > here.total:
            detail = f"{who} has weights of {gib(model.weights)}, {here.what} has {gib(here.total)}"
            results.append(fail("memory", detail, f"choose a smaller judge; {model.knob}"))
        elif need > here.free:
            beside = ", with base and ARM beside it while tuning" if model.tunes else ""
            detail = f"{who} needs about {gib(need)}{beside}, {gib(here.free)} of {here.what} are free"
            results.append(warn("memory", detail, model.knob))
    return most, results


def training_bytes(config: TrainConfig, shape: ModelShape, width: int) -> int:
    """Weights, what is trained of them with its optimiser, the activations of one pass, and some logits."""
    kept = config.batch_tokens * shape.hidden * width
    layers = shape.layers if config.lora.layers == "all" or config.method == "full" else config.lora.layers
    activations = (
        kept * (ACTIVATIONS + layers) if config.gradient_checkpointing else kept * ACTIVATIONS * layers
    )
    if config.method == "full":
        return int(shape.parameters * TRAINED + activations + LOGITS) + LIBRARIES
    weights = shape.parameters * (NF4 if config.quantise else width)
    return int(weights + shape.lora_parameters(config.lora) * TRAINED + activations + LOGITS) + LIBRARIES


def answering_bytes(project: Project, shape: ModelShape, width: int) -> int:
    """Weights, keys and values of a whole batch of base and ARM, and the scores of one token.

    Contrast reads what a full-model ARM was trained from beside it.
    """
    params, sampling = project.params, project.params.respond.sampling
    tokens = params.pairs.max_tokens + sampling.max_new_tokens
    rows = 2 * sampling.batch_size  # the base's and the ARM's
    cache = rows * tokens * shape.layers * 2 * shape.kv_width * width
    contrast = params.respond.guidance == "contrast"
    copies = {d: 1 + (contrast and params.train_config(d).method == "full") for d in params.dimensions}
    own = max((n * s.parameters for d, n in copies.items() if (s := _arm_shape(project, d))), default=0)
    return (shape.parameters + own) * width + cache + 2 * rows * shape.vocabulary * 4 + LIBRARIES


def disk_need(project: Project) -> list[CheckResult]:
    """What the ARMs with their checkpoints and copies, and the pairs, take at most, against what is free."""
    params, need = project.params, 2 * used_bytes(project.layout.data)  # pairs, and DVC's copy of them
    shape = shape_of(params.base.model, params.base.revision)
    if shape is None:
        return [ok("space", "is estimated once the base model is on disk")]
    largest = 0
    for dimension in params.dimensions:
        config, own = params.train_config(dimension), _arm_shape(project, dimension) or shape
        full = config.method == "full"
        weights = own.parameters if full else own.lora_parameters(config.lora)
        arm, checkpoint = weights * (BYTES[params.base.dtype] if full else 4), 2 * weights * 12
        need, largest = need + COPIES * arm + checkpoint, max(largest, arm)
    free, told = free_bytes(project.root), f"a run of everything takes about {gib(need)}"
    if largest > free:
        return [fail("space", f"an ARM takes {gib(largest)}, {gib(free)} are free", "dvc gc --workspace")]
    if need > free:
        return [warn("space", f"{told}, {gib(free)} are free", "dvc gc --workspace, or another disk")]
    return [ok("space", f"{told}, {gib(free)} are free")]


def capacity() -> Capacity:
    """The memory of the GPUs together, where NVIDIA's tool sees any, else what this process may use."""
    if shutil.which("nvidia-smi") and Path("/dev/nvidia0").exists():
        query = ["nvidia-smi", "--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits"]
        try:
            told = subprocess.run(query, capture_output=True, text=True, check=True, timeout=5).stdout
            gpus = [[int(n) for n in line.split(",")] for line in told.splitlines()]
        except (OSError, subprocess.SubprocessError, ValueError):
            gpus = []  # a driver that fails or hangs, or a GPU that shares the machine's memory: "[N/A]"
        if gpus:
            total, free = (sum(column) * 2**20 for column in zip(*gpus, strict=True))
            return Capacity("the GPU memory", total, free)
    memory = psutil.virtual_memory()
    limit, used = _number("memory.max"), _number("memory.current")
    if limit is None or used is None or limit > memory.total:
        return Capacity("the memory", memory.total, memory.available)
    read_once = _number("memory.stat", "inactive_file") or 0  # files that it holds until memory is wanted
    return Capacity("the memory", limit, min(memory.available, limit - used + read_once))


def _number(file: str, line: str = "") -> int | None:
    """A number of the container's limits, in a line of that name where there are several; None for none."""
    try:
        words = (CONTAINER / file).read_text(encoding="ascii").split()
        return int(words[words.index(line) + 1] if line else words[0])
    except (OSError, ValueError, IndexError):
        return None


def _arm_shape(project: Project, dimension: str) -> ModelShape | None:
    """The shape of the ARM's own model, where it has one."""
    config = project.params.train_config(dimension)
    return shape_of(config.model, config.revision) if config.model else None

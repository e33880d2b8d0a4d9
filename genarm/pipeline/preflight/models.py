"""Whether the base model, and the ARMs' own models, are there or can be fetched; torch is not asked.

What decoding would refuse of a model's architecture is found by `genarm.pipeline.decodable`, which imports
torch for it: the doctor and the first stages ask that.
"""

import os
from functools import cache
from pathlib import Path

from genarm import models as stored
from genarm.errors import ModelError
from genarm.models.model_files import AGAIN
from genarm.models.weights import weight_files
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.preflight.shape import ModelShape, read_shape
from genarm.pipeline.project import Project
from genarm.pipeline.space import free_bytes, gib, used_bytes
from genarm.system.counted import counted

TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken")  # names of which at least one is there


def models(project: Project) -> list[CheckResult]:
    """The base model, and whatever the ARMs are trained from."""
    base = project.params.base
    return [located("base model", "base.model", base.model, base.revision), *arms(project)]


def arms(project: Project) -> list[CheckResult]:
    """Each dimension's own model, and its number of layers against those that `lora` names."""
    params, results = project.params, list[CheckResult]()
    for dimension in params.dimensions:
        config, key = params.train_config(dimension), f"train of {dimension}"
        name, revision = (
            config.model or params.base.model,
            config.revision if config.model else params.base.revision,
        )
        if config.model:
            found = located("models", f"{key}: model", name, revision)
            results += [found] if found.status != "ok" else []
        layers, shape = config.lora.layers, shape_of(name, revision)
        if shape and config.method == "lora" and layers != "all" and layers > shape.layers:
            detail = f"{key}: lora.layers = {layers}, but {name} has {counted(shape.layers, 'layer')}"
            results.append(fail("models", detail, f"choose 1 to {shape.layers}, or 'all'"))
    base, sampling = params.base, params.respond.sampling
    shape = shape_of(base.model, base.revision)
    if shape and shape.context and sampling.max_new_tokens >= shape.context:
        detail = (
            f"respond.sampling.max_new_tokens = {sampling.max_new_tokens} leaves no room for a prompt: "
            f"the context of {base.model} is {shape.context} tokens"
        )
        results.append(fail("models", detail, "lower it in params.yaml"))
    return results


def located(check: str, key: str, name: str, revision: str | None) -> CheckResult:
    """Where a model is, or where a run would get it from; `key` names it in params.yaml."""
    kind, path = stored.model_kind(name), Path(name).expanduser()
    try:
        if kind in ("embedded", "gguf"):
            return _gguf(check, key, name, stored.embedded_file() if kind == "embedded" else path)
        if kind == "folder":
            _check_files(path)
            return ok(check, f"{path}: {gib(used_bytes(path))}")
    except ModelError as error:
        return fail(check, f"{key}: {error.message}", error.hint)
    if kind is None:
        fix = f"set it to {stored.EMBEDDED} in params.yaml, or a folder that exists, or owner/name"
        return fail(check, f"{key}: {name!r} is no folder, no GGUF file and no hub id", fix)
    return _hub(check, name, revision)


def folder_of(name: str, revision: str | None) -> Path | None:
    """The folder that a model is loaded from, if it is there already."""
    kind, path = stored.model_kind(name), Path(name).expanduser()
    if kind == "hub":
        snapshots = _cached(name)
        ref = snapshots.parent / "refs" / (revision or "main")
        path = snapshots / (ref.read_text(encoding="ascii").strip() if ref.is_file() else str(revision))
    elif kind in ("embedded", "gguf"):
        try:
            file = stored.embedded_file() if kind == "embedded" else path
            path = _conversion(file, file.stat().st_mtime_ns)
        except (ModelError, OSError):
            return None
    return path if path.is_dir() else None


def shape_of(name: str, revision: str | None) -> ModelShape | None:
    """The size of a model, if it is on disk and its files tell it."""
    folder = folder_of(name, revision)
    return read_shape(folder) if folder else None


@cache
def _conversion(file: Path, _modified: int) -> Path:
    """Where a GGUF file is converted to; to know it, every byte is hashed."""
    return stored.conversion(file)


def _check_files(folder: Path) -> None:
    """Raise ModelError where a folder lacks configuration, weights or tokenizer."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json", hint="save the model there with save_pretrained")
    weight_files(folder)
    if not any(True for pattern in TOKENIZERS for _ in folder.glob(pattern)):
        raise ModelError(f"{folder} holds no tokenizer: neither tokenizer.json nor a vocabulary", hint=AGAIN)


def _gguf(check: str, key: str, name: str, file: Path) -> CheckResult:
    if not file.is_file():
        return fail(check, f"{key}: no GGUF file at {file}", "correct its path in params.yaml")
    folder = _conversion(file, file.stat().st_mtime_ns)
    if folder.is_dir():
        weight_files(folder)
        return ok(check, f"{name}, converted in {folder}: {gib(used_bytes(folder))}")
    free, needed = free_bytes(stored.cache_folder()), 4 * file.stat().st_size  # 4 bits a weight become 16
    if free < needed:
        detail = f"{name} is not converted yet; that takes {gib(needed)}, {gib(free)} are free there"
        return fail(check, detail, "export GENARM_CACHE=<a folder on a larger disk>")
    return ok(check, f"{name}, installed; the first run converts it ({gib(free)} free)")


def _hub(check: str, name: str, revision: str | None) -> CheckResult:
    snapshots = _cached(name)
    if snapshots.is_dir():
        return ok(check, f"{name} in {snapshots.parent}")
    fetch = f"hf download {name}" + (f" --revision {revision}" if revision else "")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        detail = f"{name} is not in the local cache and HF_HUB_OFFLINE is set"
        return fail(check, detail, f"HF_HUB_OFFLINE=0 {fetch}")
    return warn(check, f"{name} is not in the local cache: the first run downloads it", fetch)


def _cached(name: str) -> Path:
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    return cache / f"models--{name.replace('/', '--')}" / "snapshots"

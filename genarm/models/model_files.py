"""The files of a model folder: checked before anything is loaded, so that one that is damaged is named."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genarm.errors import ModelError

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
# What transformers reads beside the configuration. It ignores a `generation_config.json` that it cannot read.
SMALL = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
# The doctor examines side by side, and a second thread may find transformers half imported.
IMPORTING = threading.Lock()
AGAIN = "save the model again with save_pretrained, or download it again"


def check_folder(folder: Path) -> None:
    """Raise ModelError where the small files of a model folder cannot be used, naming file and way out.

    A model whose architecture transformers does not have would have to bring code of its own, which is never
    run.
    """
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{folder} has no config.json", hint="save the model there with save_pretrained")
    if (folder / ADAPTER).is_file():
        raise ModelError(
            f"{folder} holds a model and {ADAPTER}, an adapter that transformers would put into the model",
            hint="move one of them to a folder of its own, or merge them: merge_and_unload",
        )
    config = read_mapping(folder / CONFIG)
    for name in SMALL:
        if (folder / name).is_file():
            read_mapping(folder / name)
    _check_architecture(folder / CONFIG, config)


def read_mapping(file: Path) -> dict[str, Any]:
    """The keys of a JSON file. Raises ModelError naming the file and where it stops being JSON."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read: {one_line(error)}", hint=AGAIN) from None
    if not isinstance(values, dict):
        raise ModelError(f"{file} holds a {type(values).__name__}, not a mapping of keys", hint=AGAIN)
    return values


def one_line(error: BaseException) -> str:
    """An error of a library in one line, with its class where the words alone would say little."""
    words = " ".join(str(error).split())
    plain = isinstance(error, (OSError, ValueError)) and words
    return words if plain else f"{type(error).__name__}: {words}"


def _check_architecture(file: Path, config: Mapping[str, Any]) -> None:
    with IMPORTING:
        from transformers import CONFIG_MAPPING, AutoConfig

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        own_code = (
            "; it brings code of its own (auto_map), which is never run" if config.get("auto_map") else ""
        )
        raise ModelError(
            f"{file}: transformers knows no model_type {kind!r}{own_code}",
            hint="choose a model whose architecture is part of transformers",
        )
    try:
        AutoConfig.from_pretrained(file.parent, trust_remote_code=False)
    except Exception as error:  # a value of another type fails wherever it is first used
        raise ModelError(f"{file} does not describe a {kind}: {one_line(error)}", hint=AGAIN) from error

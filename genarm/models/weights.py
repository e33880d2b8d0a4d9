"""The weights of a model folder: which files are loaded, whether they are whole, and their hash."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from genarm.errors import ModelError
from genarm.models.cache import cache_folder
from genarm.models.model_files import AGAIN, CONFIG, one_line, read_mapping
from genarm.system.files import sha256

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r".+-\d{5}-of-\d{5}\.safetensors")
RANKED = re.compile(r"shard-\d{5}-model-\d{5}-of-\d{5}\.safetensors")  # which transformers prefers to all


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers loads from a model folder, in order of their names.

    Raises ModelError where there are none, since pickled weights are not loaded, where one is cut short, and
    where the index names other files or tensors than there are.
    """
    present = sorted(file.name for file in folder.glob("*.safetensors"))
    if ranked := [name for name in present if RANKED.fullmatch(name)]:
        raise ModelError(
            f"{folder} holds {ranked[0]}, a part of a checkpoint of several processes",
            hint="save the model in one piece with save_pretrained",
        )
    named = read_mapping(folder / CONFIG).get("transformers_weights") if (folder / CONFIG).is_file() else None
    first = named or (SINGLE if SINGLE in present else INDEX)
    if not isinstance(first, str) or Path(first).name != first or not (folder / first).is_file():
        others = f", only {', '.join(present[:3])}" if present else ""
        raise _none(
            f"{folder} holds no .safetensors file to load: neither {SINGLE} nor {INDEX}{others}"
            if named is None
            else f"{folder / CONFIG}: transformers_weights = {named!r} is no file of the folder"
        )
    if first.endswith(".index.json"):
        return [folder / name for name in _indexed(folder / first, present)]
    if named is None and (folder / INDEX).is_file() and _files_of(folder / INDEX) != {first}:
        raise ModelError(
            f"{folder} holds {SINGLE} and {INDEX}, which names other files",
            hint=f"remove {SINGLE}, or the index with its files: one of them is left over",
        )
    _tensors(folder / first)
    return [folder / first]


def weights_hash(folder: Path, *, by_content: bool = False) -> str:
    """sha256 over the names and hashes of all safetensors files of a folder, whether they are loaded or not.

    Raises ModelError where there are none. Hashing reads every byte, so the result is noted under the files'
    sizes and times. With `by_content` that note is not believed but written anew, so that a byte changed in
    place is found.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise _none(f"{folder} holds no .safetensors file")
    stamp = json.dumps([[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files])
    note = cache_folder() / "hashes" / hashlib.sha256(stamp.encode()).hexdigest()
    if note.is_file() and not by_content:
        return note.read_text(encoding="ascii")
    digest = hashlib.sha256("".join(f"{f.name}:{sha256(f)}\n" for f in files).encode()).hexdigest()
    note.parent.mkdir(parents=True, exist_ok=True)
    beside = note.with_suffix(f".{os.getpid()}")
    beside.write_text(digest, encoding="ascii")
    beside.replace(note)
    return digest


def _none(message: str) -> ModelError:
    hint = "save the model with save_pretrained; pickled weights (.bin, .pt) are not loaded"
    return ModelError(message, hint=hint)


def _indexed(index: Path, present: list[str]) -> list[str]:
    """The files of an index, after comparing it with what they hold."""
    folder, named = index.parent, _files_of(index)
    if missing := sorted(named - set(present)):
        raise ModelError(f"{index} names {missing[0]}, which is not there", hint=AGAIN)
    if strays := [name for name in present if SHARD.fullmatch(name) and name not in named]:
        raise ModelError(
            f"{folder} holds {strays[0]}, which {index.name} does not name",
            hint="remove it if it is left over from an earlier download, or download the model again",
        )
    held: dict[str, str] = {}
    for name in sorted(named):
        for tensor in _tensors(folder / name):
            if tensor in held:
                raise ModelError(f"{folder}: both {held[tensor]} and {name} hold {tensor!r}", hint=AGAIN)
            held[tensor] = name
    for tensor, name in _weight_map(index).items():
        if held.get(tensor) != name:
            where = f"{held[tensor]} holds it" if tensor in held else "no file holds it"
            raise ModelError(f"{index} says that {name} holds {tensor!r}, but {where}", hint=AGAIN)
    return sorted(named)


def _files_of(index: Path) -> set[str]:
    return set(_weight_map(index).values())


def _weight_map(index: Path) -> Mapping[str, str]:
    entries = read_mapping(index).get("weight_map")
    if not isinstance(entries, dict) or not entries:
        raise ModelError(f"{index} has no weight_map", hint=AGAIN)
    for tensor, name in entries.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelError(
                f"{index}: {tensor!r} is in {name!r}, which is no file of its folder", hint=AGAIN
            )
    return entries


def indexed_names(index: Path) -> set[str]:
    """The names of all tensors that an index of several files has. Raises ModelError where it is none."""
    return set(_weight_map(index))


def tensor_names(folder: Path) -> set[str]:
    """The names of all tensors of a model folder, from the headers of its files."""
    return {name for file in weight_files(folder) for name in _tensors(file)}


def _tensors(file: Path) -> list[str]:
    """The names of a file's tensors. Raises ModelError where it is cut short."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return list(opened.keys())
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{file} is cut short or damaged: {one_line(error)}", hint="download or copy the file again"
        ) from None

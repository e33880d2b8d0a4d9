"""What DVC recorded: which file or folder each stage wrote and read, with its hash (`dvc.lock`, `data.dvc`).

The two files are read as YAML, so this works inside a running stage, where DVC's commands that take its lock
do not. DVC writes a stage's entry as soon as that stage has ended.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from genarm.config.demanded import stage_names
from genarm.errors import DataError

LOCK = "dvc.lock"
POINTER = "data.dvc"
MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
FOLDER = ".dir"  # the end of the hash of a folder, which is that of the list of its files
CONFLICT = re.compile(rb"^(<{7} |={7}$|>{7} )", re.MULTILINE)
TRIES, PAUSE = 3, 0.3  # DVC writes the file in place: a reader may meet it half written


@dataclass(frozen=True, slots=True)
class Recorded:
    """One file or folder as DVC recorded it.

    `path` is relative to the root, `source` the file that holds the record.
    """

    path: str
    md5: str
    stage: str
    source: str
    algorithm: str = "md5"

    @property
    def is_folder(self) -> bool:
        """Whether it is the hash of a folder."""
        return self.md5.endswith(FOLDER)

    @property
    def object(self) -> str:
        """Where the cache keeps the object, from the cache's root; that of DVC 2 is one folder up."""
        name = f"{self.md5[:2]}/{self.md5[2:]}"
        return f"files/md5/{name}" if self.algorithm == "md5" else name

    def overlaps(self, path: str) -> bool:
        """Whether one of the two paths is the other or lies in it."""
        mine, other = PurePosixPath(self.path), PurePosixPath(path)
        return mine.is_relative_to(other) or other.is_relative_to(mine)


@dataclass(frozen=True, slots=True)
class Records:
    """All that DVC recorded in a project: what each stage wrote and read, and its parameters by file."""

    outputs: tuple[Recorded, ...]
    inputs: tuple[Recorded, ...]
    parameters: dict[str, dict[str, Any]]

    def of(self, path: str) -> list[Recorded]:
        """The recorded outputs that a path is, lies in, or holds."""
        return [output for output in self.outputs if output.overlaps(path)]

    def read_by(self, stage: str) -> list[Recorded]:
        """What a stage read when it last ran, without its code: the paths of what other stages wrote."""
        return [entry for entry in self.inputs if entry.stage == stage and self.of(entry.path)]

    def behind(self, paths: Iterable[str]) -> list[Recorded]:
        """The outputs at some paths and those that they were made of, back to the data, as recorded."""
        waiting, found = list(paths), set[Recorded]()
        while waiting:
            for output in set(self.of(waiting.pop())) - found:
                found.add(output)
                waiting += [entry.path for entry in self.inputs if entry.stage == output.stage]
        return [output for output in self.outputs if output in found]


def read_records(root: Path) -> Records | None:
    """What `dvc.lock` and `data.dvc` record; None where there is no `dvc.lock`, as before the first run.

    DVC keeps the entries of stages that `dvc.yaml` no longer has, such as those of a dimension that was
    removed. They say nothing of the files that are there now, so they are left out.

    Raises DataError naming file and line where one of them was cut short, left by a merge, or lacks a hash.
    """
    lock = _read(root, LOCK)
    if lock is None:
        return None
    stages = _stages(lock)
    if (known := stage_names(root)) is not None:
        stages = {name: stage for name, stage in stages.items() if name in known}
    outputs, inputs = list(_entries(POINTER, POINTER, _read(root, POINTER) or {}, "outs")), list[Recorded]()
    for name, stage in stages.items():
        outputs += _entries(LOCK, str(name), stage, "outs")
        inputs += _entries(LOCK, str(name), stage, "deps")
    parameters = {str(name): stage.get("params") or {} for name, stage in stages.items()}
    return Records(tuple(outputs), tuple(inputs), parameters)


def read_pointer(root: Path) -> Recorded | None:
    """What `data.dvc` says of the data, None where there is no such file or it names none.

    Raises DataError where it cannot be read.
    """
    entries = list(_entries(POINTER, POINTER, _read(root, POINTER) or {}, "outs"))
    return entries[0] if entries else None


def named_version(root: Path) -> str | None:
    """The md5 that `data.dvc` names, without a look at its form; None where it names none.

    Raises DataError where the file is no YAML.
    """
    outs = (_read(root, POINTER) or {}).get("outs") or [{}]
    return str(outs[0].get("md5", "")).removesuffix(FOLDER) or None


def check_readable(root: Path) -> None:
    """Raise DataError where one of the two files is no YAML: DVC then refuses every command.

    An entry that is cut short is no error here. DVC makes it again.
    """
    for name in (LOCK, POINTER):
        _read(root, name)


def is_import(root: Path) -> bool:
    """Whether `data.dvc` names where the data came from, so that DVC can import it again."""
    return bool((_read(root, POINTER) or {}).get("deps"))


def read_source(root: Path) -> str | None:
    """What the data was imported from: a path below the root, or an address; None where it was added."""
    deps = (_read(root, POINTER) or {}).get("deps") or [{}]
    return str(deps[0]["path"]) if "path" in deps[0] else None


def is_frozen(root: Path) -> bool:
    """Whether DVC would not repeat the import that made the data: `dvc unfreeze` has still to follow."""
    return bool((_read(root, POINTER) or {}).get("frozen"))


def check_stages(lock: dict[str, Any]) -> None:
    """Raise DataError where a `dvc.lock` names no stages, or one of them lacks a path or a hash."""
    for name, stage in _stages(lock).items():
        for kind in ("outs", "deps"):
            list(_entries(LOCK, str(name), stage, kind))


def _stages(lock: dict[str, Any]) -> dict[str, Any]:
    stages = lock.get("stages")
    if not isinstance(stages, dict):
        raise _damaged(LOCK, "it names no stages")
    return stages


def is_pointer(content: bytes) -> bool:
    """Whether this is a `data.dvc` that names data/ by its hash."""
    try:
        return [entry.path for entry in _entries(POINTER, POINTER, parsed(POINTER, content), "outs")] == [
            "data"
        ]
    except DataError:
        return False


def is_conflict(content: bytes) -> bool:
    """Whether a merge left both sides in it."""
    return CONFLICT.search(content) is not None


def _read(root: Path, name: str) -> dict[str, Any] | None:
    for last in (*(False,) * (TRIES - 1), True):
        try:
            return parsed(name, (root / name).read_bytes())
        except FileNotFoundError:
            return None
        except DataError:
            if last:
                raise
            time.sleep(PAUSE)
    raise AssertionError("the last try returns or raises")


def parsed(name: str, content: bytes) -> dict[str, Any]:
    """The YAML of one of the two files. Raises DataError where it is none."""
    try:
        value = YAML(typ="safe").load(content.decode("utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise _damaged(name, _problem(content, error)) from None
    if value is None and not content.strip():
        raise _damaged(name, "it is empty")
    if not isinstance(value, dict):
        raise _damaged(name, "it holds no mapping")
    return value


def _problem(content: bytes, error: Exception) -> str:
    conflict = CONFLICT.search(content)
    if conflict:
        line = content[: conflict.start()].count(b"\n") + 1
        return f"line {line} is a conflict marker of a merge"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error)


def _damaged(name: str, problem: str) -> DataError:
    way_out = f"git restore {name}, or after a merge: git checkout --ours {name}"
    if name == LOCK:
        way_out += "; or rm dvc.lock: the next run takes from DVC's cache what it holds"
    return DataError(f"{name} is not valid YAML as DVC writes it: {problem}", hint=way_out)


def _entries(source: str, stage: str, value: object, kind: str) -> Iterable[Recorded]:
    entries = value.get(kind) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(entries or [], list):
        raise _damaged(source, f"the entry of {stage} is cut short")
    for entry in entries or []:
        path, md5 = (entry.get("path"), entry.get("md5")) if isinstance(entry, dict) else (None, None)
        if not isinstance(path, str):
            raise _damaged(source, f"{stage} has one of its {kind} without a path")
        if not isinstance(md5, str) or not MD5.fullmatch(md5):
            if kind == "deps":  # an address, known by its etag
                continue
            raise _damaged(source, f"{stage}, {path}: {md5!r} is no md5")
        yield Recorded(path, md5, stage, source, "md5" if "hash" in entry else "md5-dos2unix")

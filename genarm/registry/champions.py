"""The versions in use: read from the aliases, noted in `champions.json` for DVC, fetched as PEFT folders."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from genarm.errors import AdapterError, DataError
from genarm.models import arm as arms
from genarm.registry.model_files import download
from genarm.registry.store import Store, asking
from genarm.registry.versions import get, model_name, versions
from genarm.system.files import read_json, write_json
from genarm.types import Champion


@asking
def champions(store: Store, dimensions: Sequence[str]) -> dict[str, Champion | None]:
    """The version in use on each dimension; None where the base model answers alone."""
    result: dict[str, Champion | None] = {}
    for dimension in dimensions:
        held = [v for v in versions(store, dimension) if "champion" in v.aliases]
        result[dimension] = held[0].champion() if held else None
    return result


@asking
def snapshot(store: Store, path: Path, dimensions: Sequence[str]) -> dict[str, Champion | None]:
    """Write the champions to `mlflow/champions.json`, touching the file only where they differ."""
    now = champions(store, dimensions)
    if _read(path) != now:
        write_json(path, now)
    return now


@asking
def drift(store: Store, path: Path, dimensions: Sequence[str]) -> list[str]:
    """Where `champions.json` and the aliases disagree, a sentence each."""
    noted, now = _read(path) or {}, champions(store, dimensions)
    lines = []
    for dimension in dimensions:
        theirs, ours = noted.get(dimension), now[dimension]
        if theirs != ours:
            lines.append(f"{dimension}: {path.name} says {_say(theirs)}, {store.where} says {_say(ours)}")
    lines += [f"{d}: in {path.name} but no dimension of params.yaml" for d in noted if d not in dimensions]
    return lines


@asking
def fetch(store: Store, dimension: str, champion: Champion, into: Path) -> Path:
    """The PEFT folder of a version, checked against its hash; left alone where it is there already.

    Raises RegistryError where the store does not hold the version, AdapterError where it holds other bytes.
    """
    try:
        if arms.read_card(into).adapter_sha256 == champion.adapter_sha256:
            return into
    except AdapterError:
        pass  # absent or altered: fetched anew
    version = get(store, dimension, champion.version)
    beside = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        download(store, version, beside)
        found = arms.read_card(beside).adapter_sha256
        if found != champion.adapter_sha256:
            raise AdapterError(
                f"version {version.number} of {model_name(dimension)} in {store.where} holds adapter "
                f"{found[:12]}, champions.json says {champion.adapter_sha256[:12]}",
                hint="take this store's champions: genarm registry reconcile",
            )
        shutil.rmtree(into, ignore_errors=True)
        beside.rename(into)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return into


def _read(path: Path) -> dict[str, Champion | None] | None:
    """None where the file is absent or not readable: a snapshot then writes it anew."""
    try:
        return read_json(path, dict[str, Champion | None])
    except DataError:
        return None


def _say(champion: Champion | None) -> str:
    return f"version {champion.version} ({champion.adapter_sha256[:12]})" if champion else "no champion"

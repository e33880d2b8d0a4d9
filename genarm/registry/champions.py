"""The versions in use: read from the aliases, noted in `champions.json` for DVC, fetched as ARM folders."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genarm.errors import AdapterError, DataError
from genarm.models.arm import CARD, read_card
from genarm.registry import tags
from genarm.registry.model_files import download
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import Use, get, versions
from genarm.system.files import read_json, write_json
from genarm.types import ArmCard, Champion


@translates_errors
def champions(store: Store, dimensions: Sequence[str]) -> dict[str, Champion | None]:
    """The version in use on each dimension; None where the base model answers alone."""
    result: dict[str, Champion | None] = {}
    for dimension in dimensions:
        in_use = [v for v in versions(store, dimension) if tags.CHAMPION in v.aliases]
        result[dimension] = in_use[0].champion() if in_use else None
    return result


@translates_errors
def challengers(store: Store, dimensions: Sequence[str]) -> dict[str, Champion]:
    """The version on trial on each dimension that has one, used as it is tried."""
    result: dict[str, Champion] = {}
    for dimension in dimensions:
        for version in versions(store, dimension):
            if tags.CHALLENGER in version.aliases and version.tried:
                use, as_served = version.tried, version.champion()
                result[dimension] = replace(as_served, weight=use.weight, guidance=use.guidance)
    return result


@translates_errors
def snapshot(store: Store, path: Path, dimensions: Sequence[str]) -> dict[str, Champion | None]:
    """Write the champions to `mlflow/champions.json`, touching the file only where they differ."""
    current = champions(store, dimensions)
    if _read(path) != current:
        write_json(path, current)
    return current


@translates_errors
def drift(store: Store, path: Path, dimensions: Sequence[str]) -> list[str]:
    """One sentence for each difference between `champions.json` and the aliases."""
    noted, current = _read(path) or {}, champions(store, dimensions)
    lines = []
    for dimension in dimensions:
        in_file, in_store = noted.get(dimension), current[dimension]
        if in_file != in_store:
            file_says, store_says = describe(in_file, "no champion"), describe(in_store, "no champion")
            lines.append(f"{dimension}: {path.name} says {file_says}, {store.address} says {store_says}")
    lines += [f"{d}: in {path.name} but no dimension of params.yaml" for d in noted if d not in dimensions]
    return lines


@translates_errors
def fetch(store: Store, dimension: str, champion: Champion, into: Path) -> Path:
    """The ARM's folder of a version, checked against its hash; a folder that is right already is kept.

    Its card has the weight and guidance of `champion`, whatever those were when the folder was fetched.
    Raises RegistryError where the store does not hold the version, AdapterError where it holds other bytes.
    """
    try:
        if (card := read_card(into)).adapter_sha256 == champion.adapter_sha256:
            _write_use(into, card, champion)
            return into
    except AdapterError:
        pass  # absent or altered: it is fetched again
    version = get(store, dimension, champion.version)
    beside = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        download(store, version, beside)
        card = read_card(beside, by_content=True)
        if card.adapter_sha256 != champion.adapter_sha256:
            raise AdapterError(
                f"{version.name} in {store.address} holds adapter {card.adapter_sha256[:12]}, "
                f"champions.json says {champion.adapter_sha256[:12]}",
                hint="take this store's champions: genarm registry reconcile",
            )
        _write_use(beside, card, champion)
        shutil.rmtree(into, ignore_errors=True)
        beside.rename(into)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return into


def describe(champion: Champion | None, none: str) -> str:
    """How messages name a champion; `none` is what they say where there is none."""
    return f"version {champion.version} ({champion.adapter_sha256[:12]})" if champion else none


def _write_use(folder: Path, card: ArmCard, champion: Champion) -> None:
    if Use.of(card) != Use.of(champion):
        write_json(folder / CARD, replace(card, weight=champion.weight, guidance=champion.guidance))


def _read(path: Path) -> dict[str, Champion | None] | None:
    """None where the file is absent or not readable: a snapshot then writes it anew."""
    try:
        return read_json(path, dict[str, Champion | None])
    except DataError:
        return None

"""ARMs in the registry: found by hash, listed and shown; their aliases and tags, read and set.

A version of `genarm-<dimension>` is identified by the hash of its adapter, which it carries as a tag.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, get_args

from genarm.errors import RegistryError
from genarm.registry import tags
from genarm.registry.mlflow_errors import ABSENT, INVALID, passing_over
from genarm.registry.store import Store
from genarm.registry.tags import model_name
from genarm.types import ArmCard, Champion, Guidance

if TYPE_CHECKING:
    from mlflow.entities import Run

SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Use:
    """How an ARM guides: by which weight, and what that weight multiplies."""

    weight: float
    guidance: Guidance

    @classmethod
    def of(cls, source: ArmCard | Champion) -> Self:
        """That of a card or of a champion."""
        return cls(source.weight, source.guidance)

    @classmethod
    def read(cls, known: Mapping[str, str], weight: str, guidance: str, default: str = "") -> Self | None:
        """That of two tags; None where they say none, `default` being the guidance of those without one."""
        try:
            number = float(known.get(weight, ""))
        except ValueError:
            return None
        said = known.get(guidance, default)
        by = next((name for name in get_args(Guidance) if name == said), None)
        return cls(number, by) if by and math.isfinite(number) and number >= 0 else None

    def tried(self) -> dict[str, str]:
        """The tags of a version that is tried so."""
        return {tags.WEIGHT: repr(self.weight), tags.GUIDANCE: self.guidance}

    def promoted(self) -> dict[str, str]:
        """The tags of a version that was promoted so."""
        return {tags.PROMOTED_WEIGHT: repr(self.weight), tags.PROMOTED_GUIDANCE: self.guidance}

    def __str__(self) -> str:
        return f"weight {self.weight:g} by {self.guidance}"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of `genarm-<dimension>`, with the aliases that point to it."""

    dimension: str
    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    run_id: str
    model_id: str
    created: str
    page: str = ""  # its description in MLflow

    @property
    def sha256(self) -> str:
        """The hash of its adapter; empty where genarm did not register it."""
        return self.tags.get(tags.ADAPTER_SHA256, "")

    @property
    def name(self) -> str:
        """How messages name it: `version 3 of genarm-positive`."""
        return f"version {self.number} of {model_name(self.dimension)}"

    def number_in(self, tag: str) -> int | None:
        """The version number that a tag holds, 0 for none; None where it is missing or no number."""
        text = self.tags.get(tag, "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def tried(self) -> Use | None:
        """How it is tried, by `sum` where no tag says it; None where its tags do not tell."""
        return Use.read(self.tags, tags.WEIGHT, tags.GUIDANCE, "sum")

    @property
    def notes_use(self) -> bool:
        """Whether a tag says how it was promoted; in registries of earlier versions none does."""
        return tags.PROMOTED_WEIGHT in self.tags or tags.PROMOTED_GUIDANCE in self.tags

    @property
    def served(self) -> Use | None:
        """How it is served: as it was promoted, or as it is tried while it never was.

        None where its tags do not tell.
        """
        if self.notes_use:
            return Use.read(self.tags, tags.PROMOTED_WEIGHT, tags.PROMOTED_GUIDANCE)
        return self.tried

    def champion(self) -> Champion:
        """The version as an entry of `champions.json`. Raises RegistryError where its tags do not say it."""
        if not SHA256.fullmatch(self.sha256):
            raise self._unusable(tags.ADAPTER_SHA256)
        if self.served is None:
            weight, guidance = tags.WEIGHT, tags.GUIDANCE
            if self.notes_use:
                weight, guidance = tags.PROMOTED_WEIGHT, tags.PROMOTED_GUIDANCE
            bad_weight = Use.read({**self.tags, guidance: "sum"}, weight, guidance) is None
            raise self._unusable(weight if bad_weight else guidance)
        return Champion(self.number, self.model_id, self.sha256, self.served.weight, self.served.guidance)

    def _unusable(self, tag: str) -> RegistryError:
        value = self.tags.get(tag)
        held = f"{tag} = {value!r}" if value else f"no tag {tag}"
        return RegistryError(
            f"{self.name} has {held}: edited by hand, or not registered by genarm",
            hint="genarm registry reconcile reads it from the version's files, or puts the previous one back",
        )


def aliases(store: Store, dimension: str) -> dict[str, int]:
    """Alias -> version number, as stored: the version may have been deleted since. Empty without a model."""
    models = store.client.search_registered_models(f"name = '{model_name(dimension)}'", max_results=1)
    return {alias: int(number) for alias, number in models[0].aliases.items()} if models else {}


def versions(store: Store, dimension: str, sha256: str | None = None) -> list[Version]:
    """The versions, newest first; only those of one adapter where its hash is given."""
    condition = f"name = '{model_name(dimension)}'"
    if sha256:
        condition += f" and tags.`{tags.ADAPTER_SHA256}` = '{sha256}'"
    rows, token = [], None
    while True:
        page = store.client.search_model_versions(condition, page_token=token)
        rows += list(page)
        token = page.token
        if not token:
            break
    numbers = aliases(store, dimension)
    result = [
        Version(
            dimension=dimension,
            number=int(row.version),
            aliases=tuple(sorted(alias for alias, number in numbers.items() if number == int(row.version))),
            tags=dict(row.tags),
            run_id=row.run_id or "",
            model_id=row.tags.get(tags.MODEL_ID, ""),
            created=iso(row.creation_timestamp),
            page=row.description or "",
        )
        for row in rows
    ]
    return sorted(result, key=lambda version: -version.number)


def find(store: Store, dimension: str, sha256: str) -> Version | None:
    """The version that holds an adapter; the oldest where two machines registered it at the same time."""
    matching = versions(store, dimension, sha256) if sha256 else []
    return matching[-1] if matching else None


def get(store: Store, dimension: str, wanted: int | str) -> Version:
    """A version by number or alias. Raises RegistryError naming the store, and what it holds instead."""
    stored = versions(store, dimension)
    for version in stored:
        if str(version.number) == str(wanted) or str(wanted) in version.aliases:
            return version
    numbers = ", ".join(str(version.number) for version in reversed(stored)) or "none"
    raise RegistryError(
        f"{store.address} has no version {wanted!r} of {model_name(dimension)}; it holds: {numbers}",
        hint="set MLFLOW_TRACKING_URI to the store that made it, or take this store's champions: "
        "genarm registry reconcile",
    )


def run_of(store: Store, version: Version, tag: str = "") -> "Run | None":
    """The run that a version was made in, or that a tag of it names.

    None where there is none, or it was deleted and collected by `mlflow gc`.
    """
    run_id = version.tags.get(tag, "") if tag else version.run_id
    with passing_over(ABSENT, INVALID):
        return store.client.get_run(run_id) if run_id else None
    return None


def location(store: Store, version: Version) -> str:
    """The address of a version's files."""
    name, number = model_name(version.dimension), str(version.number)
    return str(store.client.get_model_version_download_uri(name, number))


def set_tag(store: Store, version: Version, tag: str, value: str) -> None:
    """Set one tag of a version."""
    store.client.set_model_version_tag(model_name(version.dimension), str(version.number), tag, value)


def delete_tag(store: Store, version: Version, tag: str) -> None:
    """Delete one tag of a version."""
    store.client.delete_model_version_tag(model_name(version.dimension), str(version.number), tag)


def point(store: Store, dimension: str, alias: str, number: int) -> int:
    """Point an alias to a version, or remove it where that is 0 or gone; the version it points to now."""
    name = model_name(dimension)
    if number in {version.number for version in versions(store, dimension)}:
        store.client.set_registered_model_alias(name, alias, str(number))
        return number
    if alias in aliases(store, dimension):
        store.client.delete_registered_model_alias(name, alias)
    return 0


def iso(milliseconds: int) -> str:
    """A time of MLflow as text, in UTC: `2026-11-26T14:02:00+00:00`."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted names: `{"lora": {"rank": 8}}` becomes `{"lora.rank": 8}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat

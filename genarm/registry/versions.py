"""ARMs in the registry: found by hash, listed, fetched, and the champions among them.

A version of `genarm-<dimension>` is known by the hash of its adapter, which it carries as the tag
`genarm.adapter_sha256`; everything else that identifies it is a tag `genarm.<name>` too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from genarm.errors import RegistryError
from genarm.registry.store import Store, asking
from genarm.types import Champion

SHA, MODEL = "genarm.adapter_sha256", "genarm.model_id"


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

    @property
    def sha256(self) -> str:
        return self.tags.get(SHA, "")

    def champion(self) -> Champion:
        """As an entry of `champions.json`."""
        try:
            return Champion(self.number, self.model_id, self.tags[SHA], float(self.tags["genarm.weight"]))
        except KeyError as missing:
            raise RegistryError(
                f"version {self.number} of {model_name(self.dimension)} has no tag {missing}: "
                "genarm did not register it",
                hint=f"point the alias elsewhere: genarm registry rollback {self.dimension}",
            ) from None


def model_name(dimension: str) -> str:
    return f"genarm-{dimension}"


def aliases(store: Store, dimension: str) -> dict[str, int]:
    """Alias to version number, as stored: a version may have been deleted since. Empty where nothing is."""
    name = model_name(dimension)
    found = store.client.search_registered_models(f"name = '{name}'", max_results=1)
    return {alias: int(number) for alias, number in found[0].aliases.items()} if found else {}


def versions(store: Store, dimension: str, sha256: str | None = None) -> list[Version]:
    """The versions, newest first; only those of one adapter where its hash is given."""
    condition = f"name = '{model_name(dimension)}'"
    if sha256:
        condition += f" and tags.`{SHA}` = '{sha256}'"
    rows, token = [], None
    while True:
        page = store.client.search_model_versions(condition, page_token=token)
        rows += list(page)
        token = page.token
        if not token:
            break
    named = aliases(store, dimension)
    result = [
        Version(
            dimension=dimension,
            number=int(row.version),
            aliases=tuple(sorted(alias for alias, number in named.items() if number == int(row.version))),
            tags=dict(row.tags),
            run_id=row.run_id or "",
            model_id=row.tags.get(MODEL, ""),
            created=datetime.fromtimestamp(row.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        )
        for row in rows
    ]
    return sorted(result, key=lambda v: -v.number)


def find(store: Store, dimension: str, sha256: str) -> Version | None:
    """The version that holds an adapter; the oldest where two machines registered it at the same time."""
    found = versions(store, dimension, sha256)
    return found[-1] if found else None


def get(store: Store, dimension: str, wanted: int | str) -> Version:
    """A version by number or alias. Raises RegistryError naming the store, and what it holds instead."""
    held = versions(store, dimension)
    for version in held:
        if str(version.number) == str(wanted) or str(wanted) in version.aliases:
            return version
    numbers = ", ".join(str(v.number) for v in reversed(held)) or "none"
    raise RegistryError(
        f"{store.where} has no version {wanted!r} of {model_name(dimension)}; it holds: {numbers}",
        hint="set MLFLOW_TRACKING_URI to the store that made it, or take this store's champions: "
        "genarm registry reconcile",
    )


@asking
def listing(store: Store, dimensions: Sequence[str]) -> list[dict[str, Any]]:
    """One plain row a version, newest first within each dimension."""
    return [
        {
            "dimension": version.dimension,
            "version": version.number,
            "aliases": list(version.aliases),
            "adapter": version.sha256[:12],
            "promotion": version.tags.get("genarm.promotion", ""),
            "blocked": version.tags.get("genarm.blocked", ""),
            "created": version.created,
        }
        for dimension in dimensions
        for version in versions(store, dimension)
    ]


@asking
def show(store: Store, dimension: str, version: int | str = "champion") -> dict[str, Any]:
    """All that is known of one version, by number or alias, as plain data."""
    found = get(store, dimension, version)
    run = store.client.get_run(found.run_id)
    return {
        "model": model_name(dimension),
        "version": found.number,
        "aliases": list(found.aliases),
        "created": found.created,
        "run_id": found.run_id,
        "model_id": found.model_id,
        "files": location(store, found),
        "store": store.where,
        "tags": {key: found.tags[key] for key in sorted(found.tags)},
        "metrics": dict(sorted(run.data.metrics.items())),
        "params": dict(sorted(run.data.params.items())),
    }


def location(store: Store, version: Version) -> str:
    """Where the files of a version lie."""
    name, number = model_name(version.dimension), str(version.number)
    return str(store.client.get_model_version_download_uri(name, number))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `lora.rank: 8`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inner = flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
        flat |= inner
    return flat

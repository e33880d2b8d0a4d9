"""What a guided server says that it serves, at `GET /v1/arms`, compared with what a stage wants."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from genarm.errors import ConfigError
from genarm.pipeline.answering.failures import Passing
from genarm.types import Guidance

BASE = "base"


class ListedArm(BaseModel):
    """A version that a server has loaded; without `model` it is known and not served."""

    dimension: str
    version: int | None = None
    adapter_sha256: str | None = None
    guidance: str | None = None
    model: str | None = None

    def __str__(self) -> str:
        return f"{self.dimension}@{self.version} ({(self.adapter_sha256 or 'no hash')[:12]}, {self.guidance})"


class Listing(BaseModel):
    """The answer of a guided server."""

    identity: dict[str, str] = {}
    context: int
    trial: bool = False
    data: list[ListedArm] = []


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to answer: the base as `identity` has it, alone or guided by one ARM at its weight."""

    identity: Mapping[str, str]
    dimension: str | None = None
    adapter_sha256: str = ""
    weight: float = 0.0
    guidance: Guidance = "sum"

    def __str__(self) -> str:
        if self.dimension is None:
            return "the base"
        return f"the ARM {self.adapter_sha256[:12]} of {self.dimension} by {self.guidance}"


@dataclass(frozen=True, slots=True)
class Served:
    """The name by which a server's model is asked for, and the versions that must then have answered."""

    model: str
    versions: Mapping[str, int]
    context: int


def find(listing: Listing, wanted: Wanted, url: str) -> Served:
    """The model of a server that is what a stage wants.

    Raises ConfigError where the server has another base, precision or genarm, or another guidance of that
    ARM; and where it does not have the ARM: Passing from one that fetches versions on trial, else NotServed.
    """
    check_identity(listing, wanted.identity, url)
    if wanted.dimension is None:
        return Served(BASE, {}, listing.context)
    known = [arm for arm in listing.data if arm.model and arm.dimension == wanted.dimension]
    same = [arm for arm in known if arm.adapter_sha256 == wanted.adapter_sha256]
    for arm in same:
        if arm.guidance == wanted.guidance and arm.version is not None:
            return Served(str(arm.model), {wanted.dimension: arm.version}, listing.context)
    has = ", ".join(map(str, known)) or f"nothing of {wanted.dimension}"
    reason = f"it serves {has}, and not {wanted}"
    raise Passing(reason) if listing.trial else NotServed(reason)


def check_identity(listing: Listing, wanted: Mapping[str, str], url: str) -> None:
    """Raise ConfigError where a server has another base, precision or genarm, with both."""
    differences = [
        f"{name} {listing.identity.get(name, 'not told')[:12]} there, {value[:12]} here"
        for name, value in wanted.items()
        if listing.identity.get(name) != value
    ]
    if differences:
        raise ConfigError(
            f"{url} would not answer as this project does: {'; '.join(differences)}",
            hint="start genarm serve there with the base of this params.yaml and this version of genarm",
        )


class NotServed(Passing):
    """A server that does not have the ARM, and does not look for it either."""

"""Where the files of data/ come from, as `dimensions.<d>.data.from` names it, and what is there now.

A source is asked cheaply, by what its own system keeps of every file: a commit of the hub, an etag, size and
time. Only the bytes tell whether the data changed; these marks tell when to look.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genarm.config import FeedbackConfig, Params
from genarm.config.feedback import SCHEME as FEEDBACK
from genarm.config.feedback import feedback_source
from genarm.data.sources import HUB, gather_hub, hub_commit, hub_parts
from genarm.errors import DataError
from genarm.intake import local, people, remote


@dataclass(frozen=True, slots=True)
class Origin:
    """A source as params.yaml names it, the folder below data/ that its files lie in, and who reads them."""

    source: str
    folder: str
    dimensions: tuple[str, ...] = field(compare=False)

    @property
    def key(self) -> str:
        """The parameter that names it, for messages."""
        return f"dimensions.{self.dimensions[0]}.data.from"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds: a mark that changes with it, and the mark of each file by its name.

    The mark is empty where the source tells nothing that would change with it. `address` is what is fetched,
    which at the hub is a commit.
    """

    address: str
    mark: str
    files: Mapping[str, str]


def origins(params: Params) -> list[Origin]:
    """The sources of a project, each once; dimensions that read the same source in one folder share it."""
    readers: dict[tuple[str, str], list[str]] = {}
    for dimension, config in params.dimensions.items():
        for source in config.data.sources:
            asked = feedback_source(source, dimension)
            readers.setdefault((asked, config.data.leading_folder), []).append(dimension)
    return [Origin(source, folder, tuple(names)) for (source, folder), names in readers.items()]


def mark_of(files: Mapping[str, str]) -> str:
    """One mark for all files, empty where a file has none."""
    if not all(files.values()):
        return ""
    text = "\n".join(f"{name}\t{mark}" for name, mark in sorted(files.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def ask(address: str, root: Path, votes: FeedbackConfig | None = None) -> Listing:
    """What is at an address now; paths are read from the project's folder, and votes as `votes` says.

    Raises DataError where there is nothing, or no right to read it; Unreachable where nobody answers.
    """
    if address.startswith(HUB):
        commit = hub_commit(address)
        name, _, inner = hub_parts(address)
        pinned = f"{HUB}{name}@{commit}" + (f"/{inner.rstrip('/')}" if inner else "")
        return Listing(pinned, commit, {})
    if address.startswith(FEEDBACK):
        pinned, files = people.listed(address, root, votes)
        return Listing(pinned, mark_of(files), files)
    files = remote.listed(address) if "://" in address else local.listed(address, root)
    if not files:
        raise DataError("it holds no data file", hint="check the address; the data in use stays")
    return Listing(address, mark_of(files), files)


def fetch(listing: Listing, folder: Path, root: Path, votes: FeedbackConfig | None = None) -> None:
    """Put all files of a source into an empty folder. Raises as `ask`."""
    folder.mkdir(parents=True, exist_ok=True)
    if listing.address.startswith(HUB):
        gather_hub(listing.address, folder)
    elif listing.address.startswith(FEEDBACK):
        people.fetch(listing.address, folder, root, votes)
    elif "://" in listing.address:
        remote.fetch(listing.address, listing.files, folder)
    else:
        local.fetch(listing.address, folder, root)

"""A source of preference data, gathered into an empty folder: local files, or a hub data set at a revision.

Files are copied as they are. A conversion would tie the data version to the library that converted them.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genarm.data.files import gathered, shown
from genarm.data.rows import SUFFIXES
from genarm.errors import DataError, Unreachable

HUB = "hf://"
HUB_TIMEOUT = 10  # seconds


def gather_local(source: str, folder: Path) -> None:
    """Copy a file, a folder with everything below it, or the files of a glob, side by side.

    Raises DataError where there is no file, where two would have the same name, or where one cannot be read.
    """
    # Listed before anything is copied, since `folder` may lie below the source.
    for name, file in gathered(source).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(file, folder / name)
        except OSError as error:
            raise DataError(
                f"{shown(file)} cannot be copied: {error.strerror}",
                hint="check its rights and the free disk space",
            ) from None


def gather_hub(source: str, folder: Path) -> None:
    """Fetch the data files of `hf://owner/name@revision`, or of a folder of it: `hf://...@revision/folder`.

    Raises DataError where the revision is missing or unknown, Unreachable where the hub does not answer.
    """
    from huggingface_hub import snapshot_download

    name, revision, inner = hub_parts(source)
    # A bare "*.jsonl" crosses folders here, so it stands for files at any depth.
    patterns = [f"{inner}*{suffix}" for suffix in SUFFIXES]
    with _in_words(name, revision):
        fetched = snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=patterns)
    root = Path(fetched) / inner
    if not root.is_dir():
        raise DataError(f"{source!r} has no data files", hint=f"known are {', '.join(SUFFIXES)}")
    gather_local(str(root), folder)


def hub_commit(source: str) -> str:
    """The commit that the revision of `hf://owner/name@revision` stands for now. Raises as `gather_hub`."""
    from huggingface_hub import HfApi

    name, revision, _ = hub_parts(source)
    with _in_words(name, revision):
        return str(HfApi().dataset_info(name, revision=revision, timeout=HUB_TIMEOUT).sha)


def hub_parts(source: str) -> tuple[str, str, str]:
    """The data set, the revision, and the folder in it that ends in a slash, or nothing.

    Raises DataError where the address has another form, or names no revision.
    """
    form = re.fullmatch(
        r"hf://(?P<name>[^/@]+/[^/@]+)(@(?P<revision>[^/@]+))?(/(?P<inner>(?!.*\.\.)[^@]+))?", source
    )
    if form is None or not form["revision"]:
        raise DataError(
            f"{source!r} names no revision" if form else f"{source!r} names no data set of the hub",
            hint="hf://owner/name@revision, where revision is a commit or a tag: data must not change unseen",
        )
    return form["name"], form["revision"], f"{form['inner'].strip('/')}/" if form["inner"] else ""


@contextmanager
def _in_words(name: str, revision: str) -> Iterator[None]:
    """What the hub's client raises, as an error of ours."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except RevisionNotFoundError:
        raise DataError(f"{name} has no revision {revision!r}", hint="take a commit from its page") from None
    except RepositoryNotFoundError:
        raise DataError(
            f"the hub has no data set {name!r}, or not for you", hint="check it, or log in: hf auth login"
        ) from None
    except Exception as error:
        # Errors of its HTTP library pass through the hub's client as they are: httpx, or httpx2 of late.
        is_of_http = type(error).__module__.partition(".")[0].startswith("httpx")
        if not isinstance(error, LocalEntryNotFoundError | HfHubHTTPError | OSError) and not is_of_http:
            raise
        raise Unreachable(
            f"the hub does not answer for {name!r}: {type(error).__name__}",
            hint="try again, or name local files",
        ) from None

"""A source of preference data, gathered into an empty folder: local files, or a hub data set at a revision.

Files are copied as they are. A conversion would tie the data version to the library that converted them.
"""

import re
import shutil
from pathlib import Path

from genarm.data.files import gathered, shown
from genarm.data.rows import SUFFIXES
from genarm.errors import DataError, Unreachable

HUB = "hf://"


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
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    form = re.fullmatch(
        r"hf://(?P<name>[^/@]+/[^/@]+)(@(?P<revision>[^/@]+))?(/(?P<inner>(?!.*\.\.)[^@]+))?", source
    )
    if form is None or not form["revision"]:
        raise DataError(
            f"{source!r} names no revision" if form else f"{source!r} names no data set of the hub",
            hint="hf://owner/name@revision, where revision is a commit or a tag: data must not change unseen",
        )
    name, revision = form["name"], form["revision"]
    inner = f"{form['inner'].strip('/')}/" if form["inner"] else ""
    # A bare "*.jsonl" crosses folders here, so it stands for files at any depth.
    patterns = [f"{inner}*{suffix}" for suffix in SUFFIXES]
    try:
        fetched = snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=patterns)
    except RevisionNotFoundError:
        raise DataError(f"{name} has no revision {revision!r}", hint="take a commit from its page") from None
    except RepositoryNotFoundError:
        raise DataError(
            f"the hub has no data set {name!r}", hint="check it, or log in: hf auth login"
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise Unreachable(
            f"the hub does not answer for {name!r}: {type(error).__name__}",
            hint="try again, or name local files",
        ) from None
    root = Path(fetched) / inner
    if not root.is_dir():
        raise DataError(f"{source!r} has no data files", hint=f"known are {', '.join(SUFFIXES)}")
    gather_local(str(root), folder)

"""A source of preference data, gathered into an empty folder: local files, or a hub data set at a revision.

Files are copied as they are. A conversion would tie the data version to the library that converted them.
"""

import glob
import re
import shutil
from pathlib import Path

from genarm.data.rows import SUFFIXES
from genarm.errors import DataError, Unreachable

HUB = "hf://"


def gather_local(source: str, folder: Path) -> None:
    """Copy a file, a folder with everything below it, or the files of a glob, side by side.

    Raises DataError where there is no file, or where two would have the same name.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        # Listed before anything is copied, since `folder` may lie below `path`.
        files = [(f, f.relative_to(path)) for f in sorted(path.rglob("*")) if f.is_file()]
        chosen = [(f, name) for f, name in files if not any(part.startswith(".") for part in name.parts)]
    else:
        names = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(str(path)) else [str(path)]
        chosen = [(Path(name), Path(Path(name).name)) for name in names if Path(name).is_file()]
    if not chosen:
        raise DataError(f"no file at {source!r}", hint=f"paths are read from {Path.cwd()}")
    by_name: dict[Path, Path] = {}
    for file, name in chosen:
        if other := by_name.get(name):
            raise DataError(f"{other} and {file} would both be {name} in data/", hint="name their folder")
        by_name[name] = file
    for name, file in by_name.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)


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

"""`genarm init`: a new project from the templates beside this file.

Nothing heavy is imported and DVC is not started: its repository is a configuration and two ignore files.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from genarm import __version__
from genarm.config import load_params
from genarm.errors import ConfigError, PipelineError
from genarm.system.files import to_json, write_text
from genarm.system.layout import Layout
from genarm.system.root import check_root

TEMPLATES = Path(__file__).parent / "templates" / "project"
# Where each template goes. Named otherwise, so that no tool takes one for its own: DVC runs every dvc.yaml
# that it finds below a project, in an environment of any name too.
FILES = {
    "params.yaml": "params.yaml",
    "dvc-stages.yaml": "dvc.yaml",
    "judges.txt": "judges.py",
    "requirements.txt": "requirements.txt",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "dvcignore": ".dvcignore",
    "dvc-config": ".dvc/config",
    "dvc-gitignore": ".dvc/.gitignore",
}
REFUSED = ("params.yaml", "dvc.yaml")  # a folder with one of them is a project already
EXTENDED = ("requirements.txt", ".gitignore", ".dvcignore")  # lists: missing lines are added


@dataclass(frozen=True, slots=True)
class NewProject:
    """What `create` did, as paths from `folder`: the files it wrote, and those it left as they were."""

    folder: Path
    written: list[str]
    kept: list[str]


def create(folder: Path) -> NewProject:
    """Make `folder` a project, in a git repository of its own unless it lies in one already.

    Files that are there stay; to lists, such as `.gitignore`, missing lines are added. Raises ConfigError
    where the folder holds a project already or cannot hold one, and PipelineError where git is missing.
    """
    folder = folder.resolve()
    check_root(folder)
    for name in REFUSED:
        if (folder / name).exists():
            raise ConfigError(
                f"{folder / name} exists: the folder holds a project already",
                hint="name another folder: genarm init FOLDER",
            )
    folder.mkdir(parents=True, exist_ok=True)
    _require_git(folder)
    texts = {path: _template(name) for name, path in FILES.items()}
    written = [path for path, text in texts.items() if _write(folder, path, text)]
    layout = Layout(folder)
    no_version = to_json(dict.fromkeys(load_params(layout.params).dimensions)) + "\n"
    for file in (layout.champions, layout.starts):
        path = file.relative_to(folder).as_posix()
        if _write(folder, path, no_version):
            written.append(path)
    known = [*texts, *(f.relative_to(folder).as_posix() for f in (layout.champions, layout.starts))]
    return NewProject(folder, written, [path for path in known if path not in written])


def next_commands() -> list[str]:
    """The commands that the README of a new project begins with."""
    shown = re.search(r"^```sh\n(.*?)^```", _template("README.md"), re.MULTILINE | re.DOTALL)
    assert shown is not None, "a test reads it, too"
    return shown[1].splitlines()


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8").replace("@VERSION@", __version__)


def _write(folder: Path, path: str, text: str) -> bool:
    """Whether anything had to be written."""
    file = folder / path
    if not file.exists():
        write_text(file, text)
        return True
    if path not in EXTENDED:
        return False
    present = file.read_text(encoding="utf-8")
    missing = [line for line in text.splitlines() if line not in present.splitlines()]
    if missing:
        write_text(file, "\n".join([*present.splitlines(), *missing]) + "\n")
    return bool(missing)


def _require_git(folder: Path) -> None:
    """A repository around `folder`, made where there is none."""
    try:
        inside = subprocess.run(
            ["git", "rev-parse", "--is-inside-work-tree"], cwd=folder, capture_output=True, check=False
        )
        if inside.returncode:
            subprocess.run(["git", "init", "--quiet"], cwd=folder, capture_output=True, check=True)
    except FileNotFoundError:
        raise PipelineError(
            "git is not installed, and every version is traced to a commit", hint="install git"
        ) from None
    except subprocess.CalledProcessError as error:
        raise PipelineError(
            f"git init failed in {folder}: {error.stderr.decode().strip()}",
            hint="choose another folder, or make it a repository by yourself: git init",
        ) from None

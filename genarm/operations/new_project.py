"""`genarm init`: a new project from the templates beside this file, with its data where a source is named.

Everything that can be refused is refused before anything is written; what fails later is undone. DVC is
started only to version data: its repository is a configuration and two ignore files.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from genarm import __version__
from genarm.config import check_params
from genarm.data.rows import NO_COLUMNS
from genarm.errors import ConfigError
from genarm.operations import first_commit
from genarm.operations.base_choice import checked_base
from genarm.operations.data_files import ONE, check_dimension
from genarm.operations.found_data import FoundData, find, local
from genarm.operations.project_params import JUDGES, NewDimension, class_name, with_base, with_dimensions
from genarm.operations.undo import Undo
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
COMMIT = ('git add -A && git commit -m "A new project"', "every trained version is traced to a commit")
WITHOUT_DATA = (
    ("genarm data SOURCE", "preference pairs: a path, glob, URL or hf://owner/name@revision"),
    COMMIT,
)
DOCTOR = ("genarm doctor", "what is wrong with this machine, and the command that fixes it")
PLAN = ("genarm plan", "what would run, and why")
RUN = ("genarm run", "train, respond, judge, decide; then read artifacts/report/report.html")


@dataclass(frozen=True, slots=True)
class NewProject:
    """What `create` did, as paths from `folder`: the files it wrote, and those it left as they were."""

    folder: Path
    written: list[str]
    kept: list[str]
    next: list[str]  # commands, with what each one is for
    told: list[str] = field(default_factory=list)  # how the data is read, and what is yet to be done


def create(
    folder: Path,
    source: str | None = None,
    dimensions: Sequence[str] = (),
    base: str | None = None,
    columns: Mapping[str, str] = NO_COLUMNS,
) -> NewProject:
    """Make `folder` a project, in a git repository of its own unless it lies in one already.

    source: preference data, which becomes the data version. dimensions: their names; by default what the
    files of the source suggest. base: the model to guide. columns: those of the pairs, by part; by default
    they are found. Files that are there stay; to lists, such as `.gitignore`, missing lines are added.

    Raises ConfigError where the folder holds a project already or cannot hold one, or a name is not allowed;
    DataError where the source cannot be used, ModelError where the base model cannot, PipelineError where git
    is missing or DVC fails. In each case nothing is left behind.
    """
    folder = folder.resolve()
    _check(folder, dimensions)
    told = list[str]()
    if base:
        base, what = checked_base(base, folder)
        told.append(what)
    if source is None:
        project = [NewDimension(name) for name in dimensions or (ONE,)]
        return _write_all(folder, project, base, told, None)
    _check_apart(folder, source)
    with local(source) as path:
        found = find(path, dimensions, columns)
        project = [NewDimension(data.dimension, data) for data in found.dimensions]
        return _write_all(folder, project, base, [*told, *_readings(found)], path)


def _check(folder: Path, dimensions: Sequence[str]) -> None:
    check_root(folder)
    for name in REFUSED:
        if (folder / name).exists():
            raise ConfigError(
                f"{folder / name} exists: the folder holds a project already",
                hint="name another folder: genarm init FOLDER",
            )
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file", hint="name a folder: genarm init FOLDER")
    for name in dimensions:
        check_dimension(name)
    if twice := [name for name in dimensions if list(dimensions).count(name) > 1]:
        raise ConfigError(f"--dimensions names {twice[0]!r} twice", hint="name each dimension once")


def _check_apart(folder: Path, source: str) -> None:
    """Refuse a project inside its own data: the next data version would hold the project."""
    if source.startswith(("env://", "secret://")):
        raise ConfigError(
            f"{source} names a secret, which the project must be there for",
            hint=f"start it without --data, then: genarm data {source}",
        )
    path = Path(source).expanduser().resolve()
    if path.is_dir() and (path == folder or path in folder.parents):
        raise ConfigError(
            f"{folder} would lie in its own data, {path}",
            hint="name a folder beside it, or put the data files into a folder of their own: --data pairs",
        )


def _readings(found: FoundData) -> list[str]:
    lines = [f"{data.dimension} reads {line}" for data in found.dimensions for line in data.told]
    return [*lines, *(f"{name}: no dimension reads it" for name in found.left)]


def _write_all(
    folder: Path, dimensions: Sequence[NewDimension], base: str | None, told: list[str], source: str | None
) -> NewProject:
    inside, known = first_commit.is_inside(folder), first_commit.is_committer_known(folder)
    # In a repository that was there already, nothing is committed unasked.
    commits = source is not None and known and not inside
    commands = _shown([*WITHOUT_DATA, RUN] if source is None else [DOCTOR if commits else COMMIT, PLAN, RUN])
    texts = _texts(dimensions, base, commands)
    check_params(YAML(typ="safe").load(texts["params.yaml"]), str(folder / "params.yaml"))
    with Undo(folder) as undo:
        if not inside:
            first_commit.make_repository(folder)
        written = [path for path, text in texts.items() if _write(undo, path, text)]
        if source is not None:
            from genarm.data.dvc import data_version, set_data

            set_data(folder, source, on_line=told.append)
            told.append(f"data.dvc names the data version {(data_version(folder) or '')[:12]}")
    state = "is a stand-in that sees only whether there is a response: write it in"
    if JUDGES not in written:
        state = "is for you to write in"
    told += [f"{d.judge} {state} {JUDGES}" for d in dimensions if d.has_stand_in]
    kept = [path for path in texts if path not in written]
    made = [*written, *(["data.dvc"] if source is not None else [])]
    if commits:
        first_commit.commit(folder, made)
    return NewProject(folder, made, kept, commands, told)


def _texts(dimensions: Sequence[NewDimension], base: str | None, commands: Sequence[str]) -> dict[str, str]:
    """Every file of a new project, by its path."""
    texts = {path: _template(name) for name, path in FILES.items()}
    texts["params.yaml"] = with_dimensions(texts["params.yaml"], dimensions)
    block = "\n".join(["```sh", *commands, "```"])
    texts["README.md"] = re.sub(
        r"^```sh\n.*?^```", lambda _: block, texts["README.md"], count=1, flags=re.MULTILINE | re.DOTALL
    )
    if base:
        texts["params.yaml"] = with_base(texts["params.yaml"], base)
    for name in (d.name for d in dimensions if d.has_stand_in):
        stand_in = _template("stand-in.txt").replace("@CLASS@", class_name(name))
        texts[JUDGES] += stand_in.replace("@DIMENSION@", name)
    if any(d.has_stand_in for d in dimensions):
        texts[JUDGES] = texts[JUDGES].replace('"""\n\n\nclass ', '"""\n\nimport logging\n\n\nclass ', 1)
    layout, none = Layout(Path()), to_json(dict.fromkeys(d.name for d in dimensions)) + "\n"
    files = (layout.champions, layout.incumbents, layout.starts, layout.looks, layout.judge_checks)
    return texts | {file.as_posix(): none for file in files}


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8").replace("@VERSION@", __version__)


def _shown(commands: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(command) for command, _ in commands)
    return [f"{command:<{width}}  # {what}" for command, what in commands]


def _write(undo: Undo, path: str, text: str) -> bool:
    """Whether anything had to be written."""
    file = undo.folder / path
    if file.exists():
        if path not in EXTENDED:
            return False
        present = file.read_text(encoding="utf-8").splitlines()
        missing = [line for line in text.splitlines() if line not in present]
        if not missing:
            return False
        text = "\n".join([*present, *missing]) + "\n"
    undo.note(file)
    write_text(file, text)
    return True

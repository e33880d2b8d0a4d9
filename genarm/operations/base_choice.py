"""The base model of a new project: whether there is one of its name, without loading it."""

import os
from pathlib import Path

from genarm.errors import ModelError
from genarm.models import embedded_file, model_kind
from genarm.models.model_files import check_folder
from genarm.models.weights import weight_files


def checked_base(name: str, project: Path) -> tuple[str, str]:
    """What `base.model` is to be, and a sentence on it. Raises ModelError where there is no such model.

    A hub id is checked by its form alone, since the hub may be out of reach. A path becomes one that holds in
    the project's folder.
    """
    kind, path = model_kind(name), Path(name).expanduser()
    if kind == "embedded":
        embedded_file()
    elif kind == "folder":
        check_folder(path)
        weight_files(path)
    elif kind == "gguf":
        if not path.is_file():
            raise ModelError(f"no GGUF file at {path}", hint=f"paths are read from {Path.cwd()}")
    elif kind == "hub":
        return name, f"base.model is {name}, which is fetched from the hub when it is first used"
    else:
        raise ModelError(
            f"{name!r} is no folder, no GGUF file and no hub id",
            hint="--base takes smollm2-135m-instruct, a folder with config.json, a .gguf file, or owner/name",
        )
    if kind != "embedded":
        path = Path(os.path.abspath(path))  # a link in the project stays one
        inside = path.is_relative_to(project)
        name = f"./{path.relative_to(project).as_posix()}" if inside else path.as_posix()
    return name, f"base.model is {name}"

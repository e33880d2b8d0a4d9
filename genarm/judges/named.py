"""A judge's name to the class or function that it stands for: 'package.module:Name'."""

import importlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from genarm.config import nearest
from genarm.errors import JudgeError
from genarm.judges.blame import in_one_line
from genarm.judges.own_code import OwnCode


@dataclass(frozen=True, slots=True)
class Named:
    """What a name stands for, with its origin: the project's code, or a package that is installed.

    `version` is its own attribute or that of its package.
    """

    called: Any
    code: OwnCode | None
    package: str | None
    version: str | None


def find(path: str, root: Path | None) -> Named:
    """The class or function of a name, from the project at `root` where it lies there.

    Raises JudgeError where there is none, or its module cannot be imported.
    """
    module_name, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), name)):
        raise JudgeError(f"judge {path!r} is no path to Python code", hint="such as 'judges:Helpful'")
    code = OwnCode(root) if root else None
    if code and not code.holds(module_name):
        code = None
    try:
        module = code.load(module_name) if code else importlib.import_module(module_name)
    except JudgeError:
        raise
    except Exception as error:  # a user's module may raise anything when imported
        raise _not_imported(path, module_name, error, root) from error
    found = getattr(module, name, None)
    if not callable(found):
        raise JudgeError(
            f"judge {path!r}: {module_name} has no class or function {name!r}"
            f"{nearest(name, _public(module))}",
            hint=f"look into {module.__file__ or module_name}",
        )
    package, version = (None, None) if code else _package(module)
    version = getattr(found, "version", None) or version
    return Named(found, code, package, str(version) if version else None)


def _not_imported(path: str, module: str, error: Exception, root: Path | None) -> JudgeError:
    is_absent = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
    if not is_absent:
        return JudgeError(
            f"judge {path!r}: cannot import {module!r}: {in_one_line(error)}",
            hint="correct it, or install what it needs; its own modules lie in the project's folder",
        )
    here = [file.stem for file in root.glob("*.py")] if root else []
    where = f"write {module.replace('.', '/')}.py in {root}, or install" if root else "install"
    return JudgeError(
        f"judge {path!r}: cannot import {module!r}: there is no such module{nearest(module, here)}",
        hint=f"{where} the package that has it",
    )


def _public(module: ModuleType) -> list[str]:
    names = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
    return [n for n in names if getattr(getattr(module, n), "__module__", "") == module.__name__] or names


def _package(module: ModuleType) -> tuple[str, str] | tuple[None, None]:
    """Name and version of the distribution that a module was installed with."""
    top = module.__name__.partition(".")[0]
    for name in () if top == "genarm" else importlib.metadata.packages_distributions().get(top, ()):
        return name, importlib.metadata.version(name)
    return None, None

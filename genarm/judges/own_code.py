"""Code that lies in the folder of a project: imported for its judge, and invisible to everything else.

The folder is on Python's path only while that code is loaded or called, at its end, so that it hides nobody's
module; and what was loaded from it is taken out of `sys.modules` again, so that another project in the same
process finds its own.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from genarm.errors import JudgeError


class OwnCode:
    """The modules of one project's folder, as far as its judge needs them."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._modules: dict[str, ModuleType] = {}

    def holds(self, module: str) -> bool:
        """Whether a module of that name lies in the folder; genarm itself never counts as such."""
        path = self.root.joinpath(*module.split("."))
        is_there = path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file()
        return is_there and _top(module) != "genarm"

    @property
    def files(self) -> list[Path]:
        """The files that were loaded so far, sorted, as they are called in the folder."""
        return sorted({self._here(file) for m in self._modules.values() if (file := m.__file__)})

    def load(self, module: str) -> ModuleType:
        """Import a module that the folder holds; what it raises is not caught.

        Raises JudgeError where another module on Python's path has its name.
        """
        self._refuse_another(_top(module))
        importlib.invalidate_caches()  # the file may have been written a moment ago
        with self.importable():
            return importlib.import_module(module)

    @contextmanager
    def importable(self) -> Iterator[None]:
        """While this is entered, imports find the folder; bytecode is not written, which DVC would hash."""
        before, bytecode = set(sys.modules), sys.dont_write_bytecode
        sys.modules.update(self._modules)
        sys.path.append(str(self.root))
        sys.dont_write_bytecode = True
        try:
            yield
        finally:
            sys.dont_write_bytecode = bytecode
            del sys.path[_last(sys.path, str(self.root))]
            for name in sys.modules.keys() - before:
                if self._is_own(name):
                    self._modules[name] = sys.modules.pop(name)

    def _is_own(self, name: str) -> bool:
        """Whether a module's package was found in the folder itself, and not in an environment below it."""
        top = _top(name)
        package = sys.modules.get(top) or self._modules.get(top)
        return top != "genarm" and package is not None and self._lies_here(package, top)

    def _lies_here(self, package: ModuleType, top: str) -> bool:
        file = getattr(package, "__file__", None)  # a module built into Python has none
        places = [file] if file else list(getattr(package, "__path__", ()))
        ours = {self.root / f"{top}.py", self.root / top / "__init__.py", self.root / top}
        return any(self._here(place) in ours for place in places)

    def _here(self, place: str) -> Path:
        """A path below the folder as it is, since a file in it may be a link to one elsewhere."""
        path = Path(place)
        return path if path.is_relative_to(self.root) else path.resolve()

    def _refuse_another(self, top: str) -> None:
        try:
            other = importlib.util.find_spec(top)
        except (ImportError, ValueError):  # a module without a specification, such as __main__
            return
        if other is None or other.origin is None:
            return
        if other.origin in ("built-in", "frozen") or not Path(other.origin).resolve().is_relative_to(
            self.root
        ):
            raise JudgeError(
                f"{self.root / top} has the name of another module: {other.origin}",
                hint=f"rename it, such as my_{top}: nobody could tell which of the two is meant",
            )


def _top(module: str) -> str:
    return module.partition(".")[0]


def _last(entries: list[str], entry: str) -> int:
    return len(entries) - 1 - entries[::-1].index(entry)

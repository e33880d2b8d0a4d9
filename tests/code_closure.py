"""The code that a function runs: the closure of its imports, with those that it makes when it is called."""

import ast
from pathlib import Path

import grimp

from genarm.pipeline.kept import PACKAGE, _files

# What no result depends on: errors, and reading and writing what is hashed by its content.
NEVER = ("genarm.errors", "genarm.system", "genarm.pipeline")


def import_graph():
    """The imports of the whole package, without those for type checking alone."""
    return grimp.build_graph("genarm", exclude_type_checking_imports=True, cache_dir=None)


def run_by(graph, function, followed=lambda module: True) -> set[str]:
    """The modules that a function of a file reaches, by itself and through functions of that file it names.

    Those that are not `followed` are among them, and what they import is not.
    """
    waiting, found = list(named_by(graph, function)), {function.__module__}
    while waiting:
        module = waiting.pop()
        if module in found or module.startswith(NEVER):
            continue
        found.add(module)
        if followed(module):
            waiting += graph.find_modules_directly_imported_by(module)
    return {module for module in found if not _does_nothing(module)}


def named_by(graph, function) -> set[str]:
    """The modules that are imported in a function, in those of its file that it names, and of its file."""
    module = function.__module__
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    parts = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    waiting, seen = [function.__name__], set[str]()
    while waiting:
        if (name := waiting.pop()) not in seen and name in parts:
            seen.add(name)
            waiting += [node.id for node in ast.walk(parts[name]) if isinstance(node, ast.Name)]
    names = {node.id for name in seen for node in ast.walk(parts[name]) if isinstance(node, ast.Name)}
    top = [node for node in tree.body if isinstance(node, ast.ImportFrom) and _used(node, names)]
    inner = [node for name in seen for node in ast.walk(parts[name]) if isinstance(node, ast.ImportFrom)]
    found = set[str]()
    for node in [*top, *inner]:
        of = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name if name in graph.modules else str(node.module) for name in of}
    return {name for name in found if name in graph.modules}


def listed(parts) -> set[str]:
    """The modules of the parts that are hashed."""
    names = {".".join(("genarm", *f.relative_to(PACKAGE).with_suffix("").parts)) for f in _files(parts)}
    return {name.removesuffix(".__init__") for name in names}


def _used(node: ast.ImportFrom, names: set[str]) -> bool:
    return any((alias.asname or alias.name) in names for alias in node.names)


def _file(module: str) -> Path:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _does_nothing(module: str) -> bool:
    """Whether a package's `__init__` only says what is in it."""
    file = _file(module)
    if file.name != "__init__.py":
        return False
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in body)

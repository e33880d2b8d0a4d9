"""Who may import whom: a file leans only on files that a reader has met before it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The reading order. A module may import what stands above it, and nothing else of ours.
FLOORS = {
    "words": ["types", "errors", "train_config", "config", "files", "layout", "env"],
    "arithmetic": ["loss", "length_control", "evaluation", "promotion",
                   "decoding.guidance", "decoding.sampling"],
    "work": [
        "progress", "ranks", "models", "turns", "arms", "formats", "rows", "lengths", "pairs", "tokens",
        "tokenised", "packing", "collate", "attention", "lora", "logps", "accuracy", "health",
        "validation", "recompute",
        "checkpoints", "interrupts", "watch", "events",
        "best", "quantised", "whole", "trainable", "spread", "trainer", "train",
        "decoding.adapters", "decoding.rows", "decoding.attention", "decoding.cache", "decoding.walk",
        "decoding.replay", "decoding.flight", "decoding.trunk", "decoding.ensemble", "decoding.ending",
        "decoding.slots", "decoding.policy", "decoding.speculative", "decoding.streams", "decoding.session",
        "decoding.engine",
        "decoding.separate", "decoding", "respond",
        "judges.base", "judges.programmatic", "judges", "synthesize", "seed",
    ],
    "outside": ["process", "launch", "intake", "versioning", "figures", "report",
                "registry.store", "registry.versions", "registry.stored", "registry.champions",
                "registry.pages", "registry.live", "registry.registering", "registry.trail",
                "registry.promotion", "registry.pyfunc", "registry"],
    "doors": ["starts", "stages", "worker", "plan",
              "doctor.finding", "doctor.machine", "doctor.project", "doctor.servers", "doctor",
              "conversation", "chat", "closing", "operate", "flows.tasks", "flows.align",
              "flows.version_data", "flows.deploy", "cli"],
}  # fmt: skip
READING_ORDER = [name for floor in FLOORS.values() for name in floor]

ONLY_HERE = {
    "mlflow": {
        "registry.store", "registry.registering", "registry.live", "registry.stored", "registry.pyfunc",
        "doctor",
    },
    "prefect": {"flows.tasks", "flows.align", "flows.version_data", "flows.deploy", "doctor"},
    "dvc": {"versioning"},
    "matplotlib": {"figures", "report"},
}  # fmt: skip
NOT_HERE = {"words": {"torch", "transformers"}, "arithmetic": {"transformers", "peft"}, "outside": set()}


def modules() -> dict[str, Path]:
    """Every module of ours by its name below `genarm`, or below the root for flows."""
    found = {}
    for path in [*(ROOT / "genarm").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[1:] if parts[0] == "genarm" else parts).removesuffix("__init__").rstrip(".")
        if name not in ("", "flows"):
            found[name] = path
    return found


def imports(path: Path) -> set[str]:
    """Dotted names a file imports, at the top or late."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def leans_on(path: Path, known: set[str]) -> set[str]:
    """Our modules that a file runs; one that it names for the type checker alone is not met yet."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # What is taken from a package may be a module of its own; the package is then not meant.
            dotted = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name.removeprefix("genarm.") in known else node.module for name in dotted}
    return {name.removeprefix("genarm.") for name in found} & known


def test_every_module_has_its_place():
    assert sorted(modules()) == sorted(READING_ORDER)


@pytest.mark.parametrize("name", READING_ORDER)
def test_a_file_leans_only_on_files_above_it(name):
    known = modules()
    own = leans_on(known[name], set(known))
    below = own - set(READING_ORDER[: READING_ORDER.index(name)]) - {name}
    assert not below, f"{name} imports what a reader has not met yet: {sorted(below)}"


@pytest.mark.parametrize("library", sorted(ONLY_HERE))
def test_a_foreign_system_is_known_to_few(library):
    users = {n for n, path in modules().items() if any(i.split(".")[0] == library for i in imports(path))}
    assert users <= ONLY_HERE[library]


@pytest.mark.parametrize("floor", sorted(NOT_HERE))
def test_the_lower_floors_know_no_model(floor):
    for name in FLOORS[floor]:
        found = {i.split(".")[0] for i in imports(modules()[name])} & NOT_HERE[floor]
        assert not found, f"{name} imports {sorted(found)}"


def test_the_folder_mlflow_does_not_hide_the_library():
    import mlflow

    assert not (ROOT / "mlflow" / "__init__.py").exists()
    assert not list((ROOT / "mlflow").glob("*.py"))
    assert ROOT not in Path(mlflow.__file__).parents or ".venv" in mlflow.__file__


def test_no_file_outgrows_its_reason():
    long = {n: len(p.read_text(encoding="utf-8").splitlines()) for n, p in modules().items()}
    assert not {n: lines for n, lines in long.items() if lines > 300}

"""Who may import whom: a row a package, checked on every import, at the top of a file or in a function."""

import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest
from import_table import FLOWS_MAY_IMPORT, MAY_IMPORT

ROOT = Path(__file__).parents[1]

# Foreign systems, each behind one package or file.
ONLY_HERE = {
    "mlflow": {"genarm.registry", "genarm.doctor"},
    "prefect": {"flows", "genarm.doctor"},
    "dvc": {"genarm.data"},  # driven by its command line, but for the hash of a file
    "dvc_data": {"genarm.data"},
    "accelerate": {"genarm.training"},
    "peft": {
        "genarm.training",
        "genarm.decoding.runner.adapter_files",
        "genarm.operations.merged_model",
        "genarm.baselines.training",
    },
    "trl": {"genarm.training.bradley_terry", "genarm.baselines.training"},
    "scipy": {"genarm.evaluation", "genarm.synthesis", "genarm.experiments", "genarm.feedback"},
    "moocore": {"genarm.experiments.fronts"},
    "fastapi": {"genarm.serve"},
    "vllm": {"genarm.vllm"},
}


def built(**options: bool) -> grimp.ImportGraph:
    """The imports of genarm and flows; both are found in the checkout."""
    sys.path.insert(0, str(ROOT))
    try:
        return grimp.build_graph("genarm", "flows", cache_dir=None, **options)
    finally:
        sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def graph():
    return built(include_external_packages=True, exclude_type_checking_imports=True)


def package(module: str) -> str:
    """`genarm.training.loss` -> `training`; `flows.align` -> `flows`."""
    first, *rest = module.split(".")
    return rest[0] if first == "genarm" and rest else first


def imported_packages(graph, name: str) -> dict[str, str]:
    """The packages of ours that a package imports, each with one import that shows it."""
    found = {}
    for module in graph.modules:
        if (
            not graph.is_module_squashed(module)
            and module.startswith(("genarm.", "flows"))
            and package(module) == name
        ):
            for target in graph.find_modules_directly_imported_by(module):
                if target.startswith(("genarm.", "flows")) and package(target) != name:
                    found[package(target)] = f"{module} -> {target}"
    return found


def test_the_table_names_every_package(graph):
    packages = {package(m) for m in graph.modules if m.startswith("genarm.")}
    assert packages == set(MAY_IMPORT)


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_package_imports_only_what_its_row_names(graph, name):
    wrong = {p: why for p, why in imported_packages(graph, name).items() if p not in MAY_IMPORT[name]}
    assert not wrong, f"{name} may not import {wrong}"


def test_flows_import_no_door(graph):
    assert set(imported_packages(graph, "flows")) <= FLOWS_MAY_IMPORT


def test_packages_form_no_circle(graph):
    for name in MAY_IMPORT:
        back = [p for p in imported_packages(graph, name) if name in imported_packages(graph, p)]
        assert not back, f"{name} and {back} import each other"


def test_modules_form_no_circle():
    """Imports for the type checker included: two files that need each other's names are one file."""
    graph = built()
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(tuple(TopologicalSorter(imports).static_order())) >= len(imports) > 150


@pytest.mark.parametrize("library", ONLY_HERE)
def test_a_foreign_system_is_known_to_few(graph, library):
    users = graph.find_modules_that_directly_import(library) if library in graph.modules else set()
    strangers = {u for u in users if not any(u == h or u.startswith(h + ".") for h in ONLY_HERE[library])}
    assert not strangers


def test_only_the_command_line_starts_flows():
    users = {p for p in (ROOT / "genarm").rglob("*.py") if "genarm.flows" in p.read_text(encoding="utf-8")}
    assert {p.parent.name for p in users} == {"cli"}


def test_the_folder_mlflow_does_not_hide_the_library():
    import mlflow

    assert not list((ROOT / "mlflow").glob("*.py"))
    assert ROOT not in Path(mlflow.__file__).parents or ".venv" in mlflow.__file__

"""The `deps` of `dvc.yaml` against the imports of each stage: code that is used is listed, and no other."""

import ast
import subprocess
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

from genarm.pipeline.stage_names import STAGES

ROOT = Path(__file__).parents[2]
STAGES_OF_DVC = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
DVC = {name: stage.get("do", stage) for name, stage in STAGES_OF_DVC.items()}
# A stage's results must not become stale because of these.
NOT_TRAINING = ("genarm/report", "genarm/evaluation", "genarm/registry", "genarm/doctor", "docs")


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(
        "genarm", include_external_packages=False, exclude_type_checking_imports=True, cache_dir=None
    )


def file_of(module: str) -> str:
    """`genarm.models` -> `genarm/models/__init__.py`."""
    path = Path(*module.split("."))
    return (path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")).as_posix()


def does_nothing(file: str) -> bool:
    """Whether a package's `__init__` holds only its docstring, a `__version__` and a `__getattr__`."""
    if not file.endswith("__init__.py"):
        return False
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    body = [node for node in body if not (isinstance(node, ast.FunctionDef) and node.name == "__getattr__")]
    return all(
        isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Expr)
        else isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
        for node in body
    )


def tracked_data(folder: str) -> set[str]:
    """What git tracks right in a package or in its folders without code: templates and other data."""
    listed = subprocess.run(
        ["git", "ls-files", "--", folder], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return {path for path in listed if not path.endswith(".py")}


def closure(graph, stage: str) -> set[str]:
    """Every file that a stage's module may import, itself included, with the data in the packages reached."""
    seen: set[str] = set()
    waiting = [f"genarm.pipeline.stages.{stage.partition('-')[0]}"]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += graph.find_modules_directly_imported_by(module)
            if "." in module:
                waiting.append(module.rpartition(".")[0])
    files = {file for file in map(file_of, seen) if not does_nothing(file)}
    packages = {Path(file).parent.as_posix() for file in map(file_of, seen)} - {"genarm"}
    return files.union(*map(tracked_data, packages))


def listed(stage: str) -> list[str]:
    """The code among a stage's `deps`."""
    return [d for d in DVC[stage]["deps"] if not d.startswith(("artifacts", "data"))]


def covers(dependency: str, file: str) -> bool:
    """Whether a file is a dependency, or lies in a folder that is one."""
    return file == dependency or file.startswith(f"{dependency}/")


@pytest.mark.parametrize("stage", STAGES)
def test_all_code_of_a_stage_is_listed(graph, stage):
    missing = sorted(f for f in closure(graph, stage) if not any(covers(d, f) for d in listed(stage)))
    assert not missing, f"dvc.yaml: the deps of {stage} lack {missing}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_no_code_that_it_does_not_import(graph, stage):
    used = closure(graph, stage)
    unused = [d for d in listed(stage) if not any(covers(d, f) for f in used)]
    assert not unused, f"dvc.yaml: {stage} imports nothing of {unused}"
    assert not [d for d in listed(stage) if not (ROOT / d).exists()]


def test_training_depends_on_nothing_that_comes_after_it(graph):
    assert not [d for d in listed("train") for name in NOT_TRAINING if covers(name, d)]
    assert not [f for f in closure(graph, "train") for name in NOT_TRAINING if covers(name, f)]


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_asks_a_server(graph, stage):
    assert not [f for f in closure(graph, stage) if f.startswith("genarm/registry")]


@pytest.mark.parametrize("file", ["dvc.yaml", "genarm/operations/templates/project/dvc-stages.yaml"])
def test_no_stage_runs_again_because_a_server_moved(file):
    """Where prompts are answered is no part of a result: who answers them is, and that is checked."""
    stages = YAML(typ="safe").load((ROOT / file).read_text(encoding="utf-8"))["stages"]
    keys = [key for stage in stages.values() for key in stage.get("do", stage).get("params", ())]
    named = {key for key in keys if isinstance(key, str) and key.startswith("respond")}
    assert named == {"respond.guidance", "respond.prompts", "respond.sampling"}


def test_templates_are_found(graph):
    assert "genarm/report/templates/report.html" in closure(graph, "report")

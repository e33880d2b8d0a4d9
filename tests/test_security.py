"""What docs/security.md says of the code as a whole: nothing is unpickled, evaluated or handed to a shell."""

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
MODULES = sorted(file for top in ("genarm", "flows") for file in (ROOT / top).rglob("*.py"))
UNPICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
# `torch.load` unpickles, and MLflow's `pyfunc.load_model` runs the code of a version.
CALLS = {"eval", "exec", "torch.load", "pyfunc.load_model", "mlflow.pyfunc.load_model", "os.system"}


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def imported(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_nothing_is_unpickled_evaluated_or_given_to_a_shell():
    assert not [file.name for file in MODULES if imported(file) & UNPICKLES]
    assert not [(file.name, name) for file in MODULES for name, _ in calls(file) if name in CALLS]
    shells = [file.name for file in MODULES for _, call in calls(file) if "shell=True" in ast.unparse(call)]
    assert not shells


def test_whatever_loads_a_model_refuses_its_code_and_its_pickles():
    """Every `from_pretrained` and `from_config` of an Auto class, and a model's weights from safetensors."""
    loads = [
        (f"{file.name}:{call.lineno}", name, {k.arg: ast.unparse(k.value) for k in call.keywords})
        for file in MODULES
        for name, call in calls(file)
        if re.fullmatch(r"Auto\w+\.(from_pretrained|from_config)", name)
    ]
    assert len(loads) > 8
    assert not [where for where, _, given in loads if given.get("trust_remote_code") != "False"]
    # A GGUF file has neither code nor pickles.
    loads = [load for load in loads if not load[0].startswith("gguf.py")]
    weights = [(w, given) for w, name, given in loads if re.match(r"AutoModel\w*\.from_pretrained", name)]
    assert not [where for where, given in weights if given.get("use_safetensors") != "True"]


def needed(name: str, extras: frozenset[str], found: dict[str, str]) -> dict[str, str]:
    """The licences of what is installed of a package's requirements, by name."""
    for text in importlib.metadata.requires(name) or []:
        wanted = Requirement(text)
        marker = wanted.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            continue
        try:
            about = importlib.metadata.metadata(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of an extra that is not installed
        if wanted.name.lower() not in found:
            classifiers = [c for c in about.get_all("Classifier", []) if c.startswith("License ::")]
            said = about.get("License-Expression") or "; ".join(classifiers) or about.get("License", "")
            found[wanted.name.lower()] = said
            needed(wanted.name, frozenset(wanted.extras), found)
    return found


def test_the_page_names_every_licence_that_asks_for_more_than_attribution():
    found = needed("genarm", frozenset({"judges", "baselines", "serve", "dev"}), {})
    assert len(found) > 100
    rows = "\n".join(line for line in PAGE.splitlines() if line.startswith("| "))
    demanding = [name for name, said in found.items() if re.search(r"GPL|General Public|MPL|Mozilla", said)]
    unnamed = [n for n in demanding if "Apache-2.0 OR" not in found[n] and n not in rows.lower()]
    assert not unnamed


@pytest.mark.parametrize("test", sorted(set(re.findall(r"`(tests/[\w/]+\.py)`", PAGE))))
def test_a_test_that_the_page_names_has_tests(test):
    assert "\ndef test_" in (ROOT / test).read_text(encoding="utf-8")

"""What pyproject.toml ships: every package is listed, and the version has one source."""

import tomllib
from pathlib import Path

import genarm

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_folder_with_code_is_a_listed_package():
    folders = {init.parent for top in ("genarm", "flows") for init in (ROOT / top).rglob("__init__.py")}
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    packages = {"genarm.flows" if name == "flows" else name for name in packages}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages


def test_no_code_lies_outside_a_package():
    """A module in a folder without __init__.py would be left out of the wheel."""
    modules = [m for top in ("genarm", "flows") for m in (ROOT / top).rglob("*.py")]
    assert not [m for m in modules if not (m.parent / "__init__.py").is_file()]


def test_the_version_is_that_of_the_package():
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "genarm.__version__"}
    assert f"\n## [{genarm.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_documentation_is_pinned_as_everything_else_is():
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    docs = PROJECT["project"]["optional-dependencies"]["docs"]
    wanted = {line.partition(">")[0].partition("[")[0].lower() for line in docs}
    assert wanted <= pinned

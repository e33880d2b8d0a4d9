"""The pages: what they say of packages, files and commands is true, and every page can be reached."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from import_table import EVERYONE, FLOWS_MAY_IMPORT, MAY_IMPORT
from ruamel.yaml import YAML

from genarm.cli import main as cli
from genarm.registry.tags import (
    CANARY_EXPERIMENT,
    COMPARE_EXPERIMENT,
    DECISIONS_EXPERIMENT,
    TRAIN_EXPERIMENT,
    WATCH_EXPERIMENT,
)

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CONTRIBUTING.md"])
GENARM = typer.main.get_command(cli.app)
TARGETS = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def packages_of_the_page() -> dict[str, set[str]]:
    """The table of docs/architecture.md: each package and what its row lets it import."""
    shown: dict[str, set[str]] = {}
    rows = re.findall(r"^\| (`.*?) \| .*? \| (.*?) \|$", text(DOCS / "architecture.md"), re.MULTILINE)
    for names, cell in rows:
        allowed = set(re.findall("`(.*?)`", cell))
        above = list(shown)
        if cell == "everything above":
            allowed = set(above)
        elif up_to := re.fullmatch("everything up to `(.*)`", cell):
            allowed = set(above[: above.index(up_to[1]) + 1])
        elif cell.startswith("common"):
            allowed |= EVERYONE
        else:
            assert cell == "nothing" or re.fullmatch("`[a-z]+`(, `[a-z]+`)*", cell), cell
        for name in re.findall("`(.*?)`", names):
            shown[name] = allowed
    return shown


def test_the_table_of_packages_is_the_one_that_imports_are_checked_against():
    assert packages_of_the_page() == MAY_IMPORT | {"flows": FLOWS_MAY_IMPORT}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_path_that_a_page_names_exists(page):
    """A module may be named without its suffix; experiments of MLflow are named as paths are."""
    known = ("genarm/", "flows/", "tests/", "benchmarks/", "docs/", "seed/", ".ci/")
    named = [path for path in re.findall(r"`([\w./-]+)`", text(page)) if path.startswith(known)]
    experiments = {TRAIN_EXPERIMENT, DECISIONS_EXPERIMENT, COMPARE_EXPERIMENT, WATCH_EXPERIMENT}
    experiments |= {CANARY_EXPERIMENT}
    files = [path for path in named if path not in experiments]
    assert not [p for p in files if not (ROOT / p).exists() and not (ROOT / f"{p}.py").is_file()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_a_page_names_exists(page):
    blocks = re.findall(r"^```sh\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`((?:genarm|make) [^`]+)`", text(page))
    for typed in [part for line in lines for part in line.split("&&")]:
        program, *words = shlex.split(typed, comments=True) or [""]
        if program == "make":
            assert set(words) <= set(TARGETS), typed
        elif program == "genarm":
            command, rest = GENARM, words
            while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
                if rest[0] not in command.commands and "source" in command.commands:
                    command = command.commands["source"]  # as in `genarm data pairs.jsonl`
                    break
                assert rest[0] in command.commands, typed
                command, rest = command.commands[rest[0]], rest[1:]
            options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
            assert {w.split("=")[0] for w in rest if w.startswith("--")} <= options, typed


def test_every_page_is_in_the_navigation():
    """mkdocs warns of it, too, but only where it is installed."""
    nav = re.search(r"^nav:\n(.*?)\n\n", text(ROOT / "mkdocs.yml"), re.MULTILINE | re.DOTALL)
    assert nav is not None
    listed = set(re.findall(r"[\w/]+\.md", nav[1]))
    assert listed == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}


def test_every_package_has_a_page_of_reference_or_is_named_as_one_without():
    index = text(DOCS / "reference" / "index.md")
    folders = {f.parent.name for f in (ROOT / "genarm").glob("*/__init__.py")}
    assert {f for f in folders if f"`genarm.{f}`" not in index} == set()
    for page in (DOCS / "reference").glob("*.md"):
        for module in re.findall(r"^::: ([\w.]+)", text(page), re.MULTILINE):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module


def test_a_term_of_the_glossary_stands_once():
    terms = re.findall(r"^\| (.+?) \| ", text(DOCS / "glossary.md"), re.MULTILINE)
    words = [word.strip().lower() for term in terms if term != "term" for word in term.split(",")]
    assert len(words) > 50 and sorted(set(words)) == sorted(words)


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("genarm/judges/scorers.py", ["SCORERS"]),
        ("genarm/data/formats.py", ["RowFormat", "Refused", "parse", "detect"]),
        ("genarm/config/params.py", ["SourceConfig"]),
        ("genarm/errors.py", ["GenarmError", "retryable"]),
    ],
)
def test_what_contributing_tells_to_change_is_there(file, names):
    page = text(ROOT / "CONTRIBUTING.md")
    for name in names:
        assert f"`{name}" in page and re.search(rf"\b{name}\b", text(ROOT / file)), name
    assert f"`{file}`" in page or file == "genarm/errors.py"


def test_the_changelog_has_the_form_that_it_names():
    heading = r"^## \[\d+\.\d+\.\d+\] - (Unreleased|\d{4}-\d\d-\d\d)$"
    assert re.search(heading, text(ROOT / "CHANGELOG.md"), re.MULTILINE)


def test_the_documentation_is_configured_by_valid_yaml():
    source = re.sub(r"!!python/name:\S+", "x", text(ROOT / "mkdocs.yml"))
    config = YAML(typ="safe").load(source)
    assert config["theme"]["font"] is False, "no page fetches a font"

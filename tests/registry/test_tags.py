"""Names in MLflow are defined in one file, and keep the values that other versions of genarm read."""

import ast
from pathlib import Path

from genarm.registry import tags

ROOT = Path(__file__).parents[2]
NAMES = {value for name, value in vars(tags).items() if name.isupper() and isinstance(value, str)}
ALIASES = {tags.CHAMPION, tags.PREVIOUS, tags.CHALLENGER}  # also sides of a comparison: not only MLflow's


def strings(path: Path) -> list[tuple[int, str]]:
    """The string literals of a file and their lines; docstrings left out, f-strings part by part."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]


def test_no_other_file_spells_a_name_of_mlflow() -> None:
    files = [*(ROOT / "genarm").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]
    spelled = [
        f"{path.relative_to(ROOT)}:{line} {text!r}"
        for path in files
        if path != Path(tags.__file__)
        for line, text in strings(path)
        if text == tags.PREFIX or any(name in text for name in NAMES - ALIASES - {tags.PREFIX})
    ]
    modules = ("-m genarm.", "genarm.training.", "genarm.pipeline.")  # of which some begin like a tag
    modules += ("genarm.dimension.",)  # and what events of Prefect are about
    assert [s for s in spelled if not any(m in s for m in modules)] == []


def test_a_constant_is_called_as_its_tag() -> None:
    """Values are read by other versions of genarm: one that is edited by mistake fails here."""
    named = {
        n: v for n, v in vars(tags).items() if n.isupper() and n != "PREFIX" and v.startswith(tags.PREFIX)
    }
    assert len(named) > 40 and named.pop("ROLLED_BACK_TO") == "genarm.to"
    assert named == {name: tags.tag(name.lower()) for name in named}
    assert tags.tag(" git dirty ") == "genarm.git_dirty" and tags.label("genarm.git_dirty") == "git dirty"

"""What every file is held to: its length, the length of most, and a docstring for whatever is public."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

from genarm import errors

ROOT = Path(__file__).parents[1]
FIX_BY_CALLER = "genarm/doctor/http_get.py"  # whoever asks a server there adds the way out to its own line
PARTS = ("genarm", "flows", "tests", "benchmarks")


def lines(part: str) -> dict[str, int]:
    """Lines of each Python file of a part of the repository."""
    files = sorted((ROOT / part).rglob("*.py"))
    return {str(f.relative_to(ROOT)): len(f.read_text(encoding="utf-8").splitlines()) for f in files}


def test_no_file_outgrows_its_reason():
    assert not {file: n for part in PARTS for file, n in lines(part).items() if n > 300}


def test_most_files_are_short():
    assert statistics.median(lines("genarm").values()) <= 130


def test_everything_public_has_a_docstring():
    rules = "D100,D101,D102,D103,D104"
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", rules, "genarm", "flows"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_error_names_a_way_out():
    """An error whose message is another error's text brings that one's."""
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    without = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for part in ("genarm", "flows")
        for file in sorted((ROOT / part).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and ast.unparse(node.exc.func) in kinds
        and ast.unparse(node.exc.args[0]) != "str(error)"
        and "hint" not in {keyword.arg for keyword in node.exc.keywords}
    ]
    assert not [place for place in without if not place.startswith(FIX_BY_CALLER)]

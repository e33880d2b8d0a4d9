"""`make audit` where no index serves advisories: it fails before it can find everything clean."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAW = """\
Name     Version ID            Fix Versions
-------- ------- ------------- ------------
requests 2.19.1  PYSEC-2018-28 2.20.0"""


def make(folder: Path, target: str, of_old: str, of_ours: str) -> "subprocess.CompletedProcess[str]":
    """`make` with a pip-audit that says this of the flaw of old and of constraints.txt."""
    (folder / ".ci").mkdir()
    for name in ("Makefile", "constraints.txt", ".ci/audit-exceptions.txt"):
        shutil.copy(ROOT / name, folder / name)
    tools = folder / ".cache" / "audit" / "bin"
    tools.mkdir(parents=True)
    (tools / "pip-audit").write_text(
        f'#!/bin/sh\ncase "$*" in *known-flaw*) {of_old};; *) {of_ours};; esac\n'
    )
    (tools / "pip-audit").chmod(0o755)
    (tools.parent / "ready").touch()
    return subprocess.run(["make", target], cwd=folder, capture_output=True, text=True)


KNOWN = f"echo '{FLAW}'; exit 1"
CLEAN = "echo 'No known vulnerabilities found'"
AWAY = "echo 'ERROR: requests: Dependency not found on PyPI (2.19.1)' >&2; exit 1"


@pytest.mark.parametrize("index", [CLEAN, AWAY])
def test_an_index_that_knows_no_flaw_at_all_makes_nothing_clean(index, tmp_path):
    done = make(tmp_path, "audit", index, CLEAN)
    assert done.returncode and "no advisories: " in done.stdout
    assert "No known vulnerabilities" not in done.stdout


@pytest.mark.parametrize(("ours", "passes"), [(CLEAN, True), (KNOWN, False)])
def test_where_it_knows_some_what_is_pinned_decides(ours, passes, tmp_path):
    done = make(tmp_path, "audit", KNOWN, ours)
    assert (done.returncode == 0) is passes, done.stdout + done.stderr


def test_ci_asks_first_and_says_what_was_left_out(tmp_path):
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    step = text[text.index("if make advisories; then") :]
    step = step[: step.index("\nfi") + 3]
    (tmp_path / "make").write_text('#!/bin/sh\necho "$1"\ntest "$1" = "$PASSES"\n')
    (tmp_path / "make").chmod(0o755)
    for passes, status, told in (
        ("advisories", 1, ["advisories", "audit"]),
        (
            "nothing",
            0,
            ["advisories", "no advisories here: the pinned versions were NOT compared with known flaws"],
        ),
    ):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PASSES": passes},
            capture_output=True,
            text=True,
        )
        assert (done.returncode != 0, done.stdout.splitlines()) == (bool(status), told)

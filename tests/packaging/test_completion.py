"""What a shell asks of the command line: the version, and the completion of commands and options."""

import os
import subprocess
import sys

import pytest

from genarm import __version__

PROGRAM = "import sys; from genarm.cli.main import main; sys.argv[0] = 'genarm'; main()"


def genarm(*words: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=True,
    ).stdout


def test_the_version():
    assert genarm("--version") == f"genarm {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("genarm reg", ["registry"]),
        ("genarm registry r", ["reconcile", "rollback"]),
        ("genarm respond ch", ["challenger", "champion"]),
    ],
)
def test_bash_completes(typed, offered):
    words = str(len(typed.split()) - 1)
    out = genarm(_GENARM_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=words)
    assert sorted(out.split()) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_can_be_shown_and_installed(shell, tmp_path):
    switches = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}
    assert "_GENARM_COMPLETE" in genarm("--show-completion", shell, **switches)
    assert "completion installed" in genarm("--install-completion", shell, **switches)
    assert any("_GENARM_COMPLETE" in f.read_text() for f in tmp_path.rglob("*") if f.is_file())


def test_the_help_stays_tidy():
    """One line of the help for each option, but for one of the shell, which is told at length."""
    shown = genarm("--help", COLUMNS="110", TERM="dumb")
    options = shown[shown.index("Options") : shown.index("Commands")]
    assert len(options.splitlines()) <= 11
    assert shown.index(" init ") < shown.index(" pairs ")

"""Git's commands for an unattended run: nothing asks at a prompt, and no message shows a login."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genarm.errors import PipelineError
from genarm.system.process import run
from genarm.system.redact import redact

# What git sets for a hook: a run that a hook starts must not work on the hook's index.
OF_A_HOOK = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX")
# A remote that falls silent ends the command within about a minute, instead of holding the run all night.
PATIENT = ("-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60")
SSH = "ssh -oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=15 -oServerAliveCountMax=4"
LAST_LINES = 6  # of what a refused command printed


@dataclass(frozen=True, slots=True)
class Git:
    """The repository that a folder lies in; paths are relative to the folder."""

    root: Path

    def ask(self, *arguments: str) -> str:
        """What a command prints, without white space around it; empty where it fails.

        Raises PipelineError where git is not installed.
        """
        done = self._ask(*arguments)
        return done.stdout.strip() if done.returncode == 0 else ""

    def holds(self, *arguments: str) -> bool:
        """Whether a command that answers by its exit code says yes."""
        return self._ask(*arguments).returncode == 0

    def run(self, *arguments: str) -> tuple[int, list[str]]:
        """Run a command that may start hooks or ask a server; its exit code, and its lines without logins.

        Whatever ends this process ends the command with all that it started.
        """
        environment = _environment()
        if not {"GIT_SSH", "GIT_SSH_COMMAND"} & set(environment) and not self.ask(
            "config", "core.sshCommand"
        ):
            environment["GIT_SSH_COMMAND"] = SSH
        code, lines = run(["git", *PATIENT, *arguments], self.root, environment)
        return code, [redact(line.rstrip()) for line in lines]

    def _ask(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(
                ["git", *arguments],
                cwd=self.root,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except FileNotFoundError:
            raise PipelineError(
                "git is not installed, and results are published as a commit", hint="install git"
            ) from None


def quoted(lines: Sequence[str]) -> str:
    """The last lines of a refused command as one line."""
    said = [line.strip() for line in lines if line.strip() and not line.startswith(("To ", "Done"))]
    return "; ".join(said[-LAST_LINES:]) or "no output"


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in OF_A_HOOK}
    # What git says is read here, so it has to speak English.
    return kept | {"GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": ":", "LC_ALL": "C.UTF-8", "LANGUAGE": ""}

"""A small project under git and DVC, as a test makes it, and the commands that it needs."""

import os
import subprocess
import sys
from pathlib import Path

STAGES = """
stages:
  count:
    cmd: mkdir -p artifacts && echo counting && cat data/*.jsonl | wc -l > artifacts/count
    deps: [data]
    outs: [artifacts/count]
  broken:
    cmd: 'echo working && echo "error: no such thing" >&2 && echo "hint: try another" >&2 && exit 1'
    deps: [data]
    outs: [artifacts/broken]
"""


def git(root: Path, *arguments: str) -> str:
    """Run git and return what it prints."""
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def dvc(root: Path, *arguments: str) -> None:
    """Run the real DVC; fails where it fails."""
    command = [sys.executable, "-m", "dvc", *arguments]
    subprocess.run(
        command, cwd=root, check=True, capture_output=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"}
    )

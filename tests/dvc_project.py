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

# What DVC writes, shortened; DVC 2 wrote no `hash:`.
POINTER = "outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  hash: md5\n  path: data\n"
LOCK = """schema: '2.0'
stages:
  pairs:
    cmd: genarm pairs
    deps:
    - path: data
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
    - path: genarm/data
      hash: md5
      md5: 1123456789abcdef0123456789abcdef.dir
    params:
      params.yaml:
        dimensions: [kind]
    outs:
    - path: artifacts/pairs
      hash: md5
      md5: 2123456789abcdef0123456789abcdef.dir
      size: 1234
      nfiles: 4
  train@kind:
    cmd: genarm train kind
    deps:
    - path: artifacts/pairs/kind
      md5: 3123456789abcdef0123456789abcdef.dir
    outs:
    - path: artifacts/arms/kind
      md5: 4123456789abcdef0123456789abcdef.dir
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

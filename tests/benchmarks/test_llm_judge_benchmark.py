"""A thousand comparisons, 32 in flight, through failing answers and a kill: none lost, none doubled."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "llm_judge.py"


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_through_failures_and_a_kill(tmp_path):
    file = tmp_path / "figures.json"
    done = subprocess.run([sys.executable, SCRIPT, "--json", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(file.read_text())
    assert figures["killed"] and 0 < figures["kept_at_the_kill"] < 2000
    assert figures["failure_share"] > 0.15
    assert figures["lost"] == figures["wrong"] == figures["double_rows"] == figures["asked_twice"] == 0
    assert figures["answered_twice"] <= 32  # whole answers that were on their way when it was killed

"""The soak of the server: how memory is judged, and a short one with both swaps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its files are scripts, found beside one another

from soak import measured  # noqa: E402


def rows_of(mb) -> list[tuple[float, float, int, int, int]]:
    return [(float(t), mb(t), 5, 12, t) for t in range(0, 3601, 10)]


def test_memory_is_judged_after_the_warm_up_alone():
    """What it starts with counts for nothing, and one peak for little; 6 MB an hour are flat, 60 are not."""
    peak = {2000: 560.0}
    found = measured(rows_of(lambda t: 400.0 if t < 600 else peak.get(t, 500 + t / 600)), 1 / 6)
    assert (found["lowest_mb"], found["highest_mb"]) == (501, 560)
    assert found["first_mean_mb"] == 501.2 and found["last_mean_mb"] == 505.8
    assert found["departure"] == pytest.approx(0.0046, abs=1e-4)
    assert measured(rows_of(lambda t: 500 + t / 60), 1 / 6)["departure"] > 0.03


@pytest.mark.slow
def test_a_short_soak_loses_nothing(tmp_path):
    file = tmp_path / "figures.json"
    words = ["--minutes", "0.5", "--every", "1", "--out", str(tmp_path), "--json", str(file)]
    subprocess.run([sys.executable, BENCHMARKS / "soak.py", *words], timeout=600, check=False)
    found = json.loads(file.read_text())
    assert not any(found[name] for name in ("lost", "open_afterwards", "exit_status", "tracebacks"))
    assert found["different"] <= 1 < found["requests"], "rounding may change one answer"
    assert found["swaps"] == 2 and found["votes_kept"] == found["votes_given"]
    assert "</svg>" in (tmp_path / "memory.svg").read_text()

"""The soak of the server: how memory is judged, and a short one with both swaps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its files are scripts, found beside one another

from soak import measured  # noqa: E402


def test_memory_is_judged_after_the_warm_up_alone():
    """400 MB while it starts count for nothing; then 500 MB, growing by 6 MB an hour, once 520."""
    rows = [(float(t), 400.0 if t < 600 else 500 + t / 600, 5, 12, t) for t in range(0, 3601, 10)]
    found = measured(rows, 1 / 6)
    assert found["median_mb"] == pytest.approx(503.5) and found["mb_an_hour"] == pytest.approx(6)
    assert found["departure"] == pytest.approx(2.5 / 503.5, abs=1e-4)
    rows[200] = (2000.0, 520.0, 5, 12, 0)
    assert measured(rows, 1 / 6)["departure"] > 0.03


@pytest.mark.slow
def test_a_short_soak_loses_and_mixes_nothing(tmp_path):
    file = tmp_path / "figures.json"
    words = ["--minutes", "0.5", "--every", "1", "--out", str(tmp_path), "--json", str(file)]
    subprocess.run([sys.executable, BENCHMARKS / "soak.py", *words], timeout=600, check=False)
    found = json.loads(file.read_text())
    assert not any(found[name] for name in ("lost", "mixed", "open_afterwards", "exit_status", "tracebacks"))
    assert found["requests"] > 0 and found["swaps"] == 2 and found["votes_kept"] == found["votes_given"]
    assert "</svg>" in (tmp_path / "memory.svg").read_text()

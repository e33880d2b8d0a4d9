"""The table of a challenger in service in docs/evaluation.md is what its script prints."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from genarm.evaluation.betting import exceeds

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("canary_script", ROOT / "benchmarks" / "canary.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_fewest_wins_are_those_of_the_rule(script):
    edge = script.fewest(60, 0.01)
    for n in (5, 9, 10, 31, 60):
        wins = int(edge[n])
        assert wins > n or exceeds({1.0: wins, 0.0: n - wins}, 0.5, 0.01)
        assert not exceeds({1.0: min(wins, n + 1) - 1, 0.0: n - min(wins, n + 1) + 1}, 0.5, 0.01)
    assert (edge[:9] > np.arange(9)).all() and edge[9] == 9, "nine wins in a row, see the test of betting"


def test_watched_it_keeps_its_levels_where_a_z_test_does_not(script):
    runs, most, alphas = 1000, 300, (0.01, 0.05)
    edges = [script.fewest(most, alpha) for alpha in alphas]
    walks = script.preferences(0.5, 0.2, runs, most)
    found, z = script.ended(walks, edges), script.watched(walks, alphas)
    assert found["promoted"] <= stats.binom.ppf(0.999, runs, 0.01) / runs
    assert found["stopped"] <= stats.binom.ppf(0.999, runs, 0.05) / runs
    assert z["z_watched"] > 3 * 0.01 and z["z_stopped"] > 2 * 0.05
    better = script.ended(script.preferences(0.7, 0.2, runs, most), edges)
    assert better["promoted"] > 0.99 and better["median"] < 80
    with pytest.raises(SystemExit, match=r"the win rate cannot be 0\.05"):
        script.preferences(0.05, 0.2, 1, 1)


@pytest.mark.slow
def test_the_page_shows_what_the_script_finds(script):
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    [shown] = [line.split()[2:] for line in page.splitlines() if line.startswith("    at 0.60 ")]
    alphas = (0.01, 0.05)
    edges = [script.fewest(2000, alpha) for alpha in alphas]
    walks = script.preferences(0.6, 0.2, 5000, 2000)
    found = script.ended(walks, edges) | script.watched(walks, alphas)
    names = ("promoted", "stopped", "held", "median", "p95", "z_fixed", "z_watched", "z_stopped")
    digits = (4, 4, 3, 0, 0, 4, 4, 4)
    assert shown == [f"{found[name]:.{n}f}" for name, n in zip(names, digits, strict=True)]

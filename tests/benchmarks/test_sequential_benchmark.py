"""The table of the sequential test in docs/evaluation.md is what its script prints."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("sequential_script", ROOT / "benchmarks" / "sequential.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("rate", [0.5, 0.6])
def test_the_page_shows_what_the_script_finds(script, rate):
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    [shown] = [line.split() for line in page.splitlines() if line.startswith(f"    {rate:.2f}    ")]
    found = script.simulate(rate, ties=0.0, alpha=0.01, runs=4000)
    names = ("promoted", "promoted_two", "rejected", "prompts", "fixed_120", "fixed_600")
    digits = (3, 3, 3, 0, 3, 3)
    assert shown[1:] == [f"{found[name]:.{n}f}" for name, n in zip(names, digits, strict=True)]


def test_looking_costs_little_power_and_saves_prompts(script):
    found = script.simulate(0.7, ties=0.2, alpha=0.01, runs=500)
    assert found["promoted"] > 0.99 and found["prompts"] < 150
    with pytest.raises(SystemExit, match="the win rate cannot be 0.05"):
        script.preferences(0.05, 0.2, 1)

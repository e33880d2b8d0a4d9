"""docs/evaluation.md: its numbers are those of the code."""

from pathlib import Path

from scipy import stats

from genarm.config import RuleConfig
from genarm.evaluation import length_control, win_rate
from genarm.evaluation.condition import MAX_UNREAD, Z
from genarm.evaluation.rule import __doc__ as rule_page
from genarm.evaluation.text_health import REPETITION_FLOOR
from genarm.evaluation.win_rate import wilson
from genarm.judges import SCORERS

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())


def test_the_table_of_error_rates_is_the_one_of_the_rule():
    table = PAGE.split("```text\n")[1].split("```")[0]
    assert table in (rule_page or "") and len(table.splitlines()) == 10


def test_the_numbers_of_the_rule_are_its_defaults():
    rule = RuleConfig()
    for name in ("alpha", "min_gain", "margin", "max_health_ratio"):
        assert f"`{name}` {getattr(rule, name):g}" in TEXT, name
    assert f"more than {MAX_UNREAD:.0%} of the verdicts" in TEXT
    assert f"exceed the base's by {REPETITION_FLOOR:g}" in TEXT


def test_the_numbers_of_the_intervals_are_those_of_the_code():
    assert f"{win_rate.RESAMPLES} resamples" in TEXT
    assert (
        f"on {length_control.RESAMPLES} resamples" in TEXT and f"from {length_control.FEWEST} prompts" in TEXT
    )


def test_every_scorer_is_listed():
    assert all(f"`{name}`" in TEXT for name in SCORERS)


def chance(n: int, rate: float, holds) -> float:
    """That a condition holds on n prompts without ties, at a true win rate."""
    return sum(stats.binom.pmf(w, n, rate) for w in range(n + 1) if holds(*wilson(w / n, n, Z)))


def test_the_chances_of_rejection_and_of_a_guard_are_exact():
    rejected = [chance(n, r, lambda _, upper: upper < 0.52) for n, r in ((100, 0.52), (100, 0.5), (400, 0.5))]
    assert [round(p, 1) for p in rejected] == [0.0, 0.1, 0.2] and 0.04 < rejected[0] < 0.06

    def passed(n: int, rate: float) -> float:
        return chance(n, rate, lambda lower, _: lower > 0.35)

    assert [f"{passed(n, r):.2f}" for n, r in ((100, 0.5), (100, 0.45), (200, 0.45))] == [
        "0.93",
        "0.69",
        "0.89",
    ]
    assert passed(200, 0.5) > 0.99 and all(0.04 < passed(n, 0.35) < 0.06 for n in (100, 200))

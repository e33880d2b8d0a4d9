"""The conditions on judges: each outcome with its reason, and what they do to false promotions."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import stats

from genarm.config import JudgeConfig, RuleConfig
from genarm.errors import DataError
from genarm.evaluation.condition import Z
from genarm.evaluation.judge_conditions import __doc__ as page
from genarm.evaluation.judge_conditions import agrees
from genarm.evaluation.rule import decide
from genarm.evaluation.standing import settings_hash, standings
from genarm.evaluation.win_rate import sign_test, wilson
from genarm.types import (
    Agreement,
    Comparison,
    Decision,
    Estimate,
    JudgeCheck,
    JudgeStanding,
    Scorecard,
    TextHealth,
    Verdict,
)

RULE = RuleConfig()
REQUIRED = RuleConfig(held_out="required")
HEALTH = [TextHealth(side, 40.0, 0.0, 10.0, 0.1) for side in ("base", "challenger")]
p_of = cache(sign_test)


def compared(wins: int, n: int = 120, held_out: bool = False) -> Comparison:
    rate = Estimate(wins / n, (0, 1), n)
    p = 1.0 if held_out else p_of(wins, n - wins)
    return Comparison("kind", "challenger", "base", rate, wins, 0, n - wins, 0, p, held_out=held_out)


def people(value: float, *, unread: int = 0, file: str = "f.jsonl", half: float = 0.04) -> Agreement:
    rate = Estimate(value, (value - half, value + half), 400)
    return Agreement(file, "s" * 64, rate, half / 2, 400, unread, 0.0, 1.0, 0.5, 0.5, 0.0)


def standing(*agreements: Agreement, held_out: bool = False, stale: str = "") -> JudgeStanding:
    name = "second, 1.0" if held_out else "first, 1.0"
    check = None
    if agreements:
        check = JudgeCheck(name, "s", held_out, agreements[0].accuracy, 0.02, agreements)
    return JudgeStanding("kind", held_out, name, check, stale)


def decided(
    *found: JudgeStanding, rule: RuleConfig = RULE, wins: int = 90, held_out: int | None = None
) -> Decision:
    comparisons = [compared(wins)] + ([] if held_out is None else [compared(held_out, held_out=True)])
    [decision] = decide([Scorecard("kind", "a" * 64, None, comparisons, HEALTH, found)], rule)
    return decision


def test_a_judge_that_nobody_checked_promotes_as_before_and_it_is_told():
    assert decided().outcome == decided(standing()).outcome == "promote"
    assert decided(standing()).reasons[-1] == (
        "judge first, 1.0: not measured against people (genarm judge-check kind FILE)"
    )
    stale = decided(standing(people(0.7), stale="the check is of another"))
    assert stale.outcome == "promote" and "the check is of another" in stale.reasons[-1]
    was_weak = standing(people(0.5), stale="the check is of another")
    held = decided(was_weak)
    assert held.outcome == "hold" and "that check did not pass: check it anew" in " ".join(held.reasons)
    assert decided(was_weak, rule=RuleConfig(weak_judges=("kind",))).outcome == "promote"


@pytest.mark.parametrize(
    ("agreements", "why"),
    [
        (
            [people(0.53)],
            "people 0.53 [0.49, 0.57] n=400 on f.jsonl is not shown to exceed 0.5",
        ),
        ([people(0.37)], "is below 0.5"),
        ([people(0.7), people(0.52, file="g.jsonl")], "on g.jsonl is not shown to exceed 0.5"),
        ([people(0.7, unread=60)], "60 of 460 pairs of f.jsonl could not be read"),
    ],
)
def test_a_judge_that_does_not_agree_with_people_promotes_nothing(agreements, why):
    held = decided(standing(*agreements))
    assert held.outcome == "hold" and held.prompts_needed is None
    assert why in held.reasons[0]
    assert "or name kind in decide.weak_judges" in held.reasons[0]
    allowed = decided(standing(*agreements), rule=RuleConfig(weak_judges=("kind",)))
    assert allowed.outcome == "promote" and "allowed by decide.weak_judges" in allowed.reasons[-1]


def test_more_prompts_do_not_mend_a_judge():
    weak = agrees(standing(people(0.52)))
    assert (weak.state, weak.by_prompts) == ("open", False)


def test_a_judge_that_agrees_is_named_with_its_numbers():
    assert decided(standing(people(0.7))).reasons[-1] == (
        "judge first, 1.0: agrees with people, 0.70 [0.66, 0.74] n=400 on f.jsonl"
    )


def test_the_held_out_judge_is_read_only_where_it_is_required():
    weak = standing(people(0.37), held_out=True)
    assert decided(standing(), weak, held_out=20).reasons == decided(standing()).reasons
    passed = decided(standing(), standing(held_out=True), rule=REQUIRED, held_out=66)
    assert passed.outcome == "promote"
    assert "held-out judge on kind: win rate 0.55" in passed.reasons[-1]
    assert decided(standing(), weak, rule=REQUIRED, held_out=66).outcome == "hold"
    assert decided(rule=REQUIRED, held_out=60).outcome == "hold", "one half is no gain"
    lost = decided(rule=REQUIRED, held_out=45)
    assert lost.outcome == "reject" and lost.reasons[0].endswith("over base, upper bound 0.45 < 0.5")
    with pytest.raises(DataError, match="no verdicts of a held-out judge on challenger and base"):
        decided(rule=REQUIRED)


def test_a_small_margin_asks_for_prompts():
    """70 of 120 is 0.583, its bound 0.508; with margin 0.001 the bound must exceed 0.499, and 64 has 0.458:
    z 1.645 and 0.842 at (0.4999, 0.4989): ((0.8225 + 0.842 * 0.4989) / 0.0343)^2 = 1311, rounded up."""
    rule = RuleConfig(held_out="required", margin=0.001)
    assert decided(rule=rule, held_out=70).outcome == "promote"
    held = decided(rule=rule, held_out=64)
    assert held.outcome == "hold" and held.prompts_needed == pytest.approx(1311, abs=3)


def confirmed(wins: int, n: int) -> bool:
    return wins / n > 0.5 and wilson(wins / n, n, Z)[0] > 0.35


def test_the_table_of_chances_is_exact():
    rates = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
    for n in (60, 120, 400):
        chances = [sum(stats.binom.pmf(w, n, r) for w in range(n + 1) if confirmed(w, n)) for r in rates]
        assert f"    {n:<10}" + "   ".join(f"{c:.2f}" for c in chances) in (page or "")


@pytest.mark.parametrize("correlated", [0.0, 0.7, 1.0])
def test_false_promotions_stay_below_alpha(correlated):
    """No challenger is better: alpha bounds the promotions, whatever share of the verdicts the held-out judge
    repeats; requiring it only lowers them."""
    alpha, n = 0.05, 120
    rules = RuleConfig(alpha=alpha, min_gain=0), RuleConfig(alpha=alpha, min_gain=0, held_out="required")
    random, promoted = np.random.default_rng(0), np.zeros(2)
    for _ in range(3000):
        first = random.random(n) < 0.5
        second = np.where(random.random(n) < correlated, first, random.random(n) < 0.5)
        promoted += [
            decided(rule=rule, wins=int(first.sum()), held_out=int(second.sum())).outcome == "promote"
            for rule in rules
        ]
    shown, required = promoted / 3000
    assert required <= shown <= alpha + 2 * (alpha * (1 - alpha) / 3000) ** 0.5
    assert required < 0.75 * shown or correlated > 0


def test_standings_say_who_judged_and_when_a_check_is_of_another():
    rows = [
        Verdict("p", "kind", "challenger", "base", 1, judge="first, 2.0"),
        Verdict("p", "kind", "challenger", "base", 1, judge="second, 1.0", held_out=True),
        Verdict("p", "other", "challenger", "base", 1, judge="third"),
    ]
    config = JudgeConfig(scorer="length")
    check = replace(standing(people(0.7)).check, settings=settings_hash(config))
    second = replace(standing(people(0.7), held_out=True).check, settings="another")
    configs = {("kind", False): config, ("kind", True): config, ("other", False): config}
    first, held_out, other = standings(rows, {"kind": [check, second], "other": None}, configs)
    assert first.stale == "the check is of first, 1.0, and the verdicts are of first, 2.0"
    assert held_out.stale == "the check is of second, 1.0 with other options or another tie"
    assert (other.judge, other.check, other.stale) == ("third", None, "")
    fresh = standings([replace(rows[0], judge="first, 1.0")], {"kind": [check]}, configs)[0]
    assert fresh.check == check and not fresh.stale
    assert settings_hash(config) != settings_hash(JudgeConfig(scorer="length", tie=1))

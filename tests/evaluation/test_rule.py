"""The rule: every outcome with its reason, and its error rates against what the module states."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from scipy import stats

from genarm.config import RuleConfig
from genarm.errors import DataError
from genarm.evaluation.rule import __doc__ as rule_page
from genarm.evaluation.rule import decide, holm
from genarm.evaluation.win_rate import sign_test
from genarm.types import Champion, Comparison, Decision, Estimate, Scorecard, TextHealth

RULE = RuleConfig(alpha=0.01, min_gain=0.02, margin=0.15, max_health_ratio=1.2)
CHAMPION = Champion(3, "m-3", "c" * 64, 1.0)
Counts = tuple[int, int, int]  # wins, ties, losses

p_of = cache(sign_test)


def comparison(dimension: str, counts: Counts, right: str = "base", unread: int = 0) -> Comparison:
    wins, ties, losses = counts
    n = wins + ties + losses
    estimate = Estimate((wins + ties / 2) / n, (0.0, 1.0), n)
    return Comparison(
        dimension, "challenger", right, estimate, wins, ties, losses, unread, p_of(wins, losses)
    )


def scorecard(
    dimension: str,
    counts: Mapping[str, Counts],
    *,
    champion: Champion | None = None,
    unread: int = 0,
    repetition: float = 0.0,
    perplexity: float = 10.0,
    base_repetition: float = 0.0,
) -> Scorecard:
    right = "champion" if champion else "base"
    return Scorecard(
        dimension,
        "a" * 64,
        champion,
        [comparison(d, c, right, unread) for d, c in counts.items()],
        [
            TextHealth("base", 40.0, base_repetition, 10.0, 0.0),
            TextHealth("challenger", 40.0, repetition, perplexity, 0.2),
        ],
    )


def one(counts: Counts, rule: RuleConfig = RULE, **changes) -> Decision:
    [decision] = decide([scorecard("plain", {"plain": counts}, **changes)], rule)
    return decision


def pair(own: Counts, other: Counts) -> Decision:
    """The decision on `positive`, beside `plain`, which is to be guarded and shows nothing itself."""
    cards = [
        scorecard("positive", {"positive": own, "plain": other}),
        scorecard("plain", {"plain": (50, 0, 50), "positive": (50, 0, 50)}),
    ]
    return decide(cards, RULE)[0]


def test_a_clear_win_is_promoted_with_its_numbers():
    decision = pair((74, 0, 26), (48, 4, 48))
    assert decision.outcome == "promote"
    assert decision.reasons[0].startswith(
        "positive: win rate 0.74 [0.00, 1.00] n=100 over base, adjusted p 1.7e-06 < 0.01"
    )
    assert "lower bound 0.42 > 0.35" in decision.reasons[1]
    assert decision.reasons[2] == "perplexity 10 <= 12, 1.2 times the base's"
    assert decision.prompts_needed is None


def test_alpha_is_shared_by_the_dimensions_decided_together():
    """9 : 1 has p = 11/1024 = 0.0107; Holm doubles the smaller of two, and leaves one alone."""
    rule = RULE.model_copy(update={"alpha": 0.02})
    counts = {"positive": (9, 0, 1), "plain": (5, 90, 5)}
    other = {"positive": (5, 90, 5), "plain": (5, 90, 5)}
    alone = scorecard("positive", counts)
    same = scorecard("plain", {}, champion=Champion(1, "m", "a" * 64, 1.0))
    assert decide([alone, scorecard("plain", other)], rule)[0].outcome == "hold"
    assert [d.outcome for d in decide([alone, same], rule)] == ["promote", "same"]


def test_holm_by_hand_and_by_statsmodels():
    """.005 * 4, .01 * 3, .03 * 2, and .04 * 1 raised to the one before it."""
    from statsmodels.stats.multitest import multipletests

    p_values = [0.01, 0.04, 0.03, 0.005]
    assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))
    assert holm([0.9, 0.8]) == [1, 1]


def test_an_adapter_that_is_the_champions_is_the_same():
    decision = one((0, 0, 100), champion=Champion(1, "m", "a" * 64, 1.0))
    assert decision.outcome == "same"
    assert decision.reasons == ["plain: the challenger has the champion's adapter aaaaaaaaaaaa"]


def test_the_rival_is_the_champion_where_there_is_one():
    card = scorecard("plain", {"plain": (90, 0, 10)}, champion=CHAMPION)
    assert decide([card], RULE)[0].outcome == "promote"
    beats_base_only = Scorecard(
        "plain",
        "a" * 64,
        CHAMPION,
        [comparison("plain", (90, 0, 10)), comparison("plain", (20, 0, 80), "champion")],
        card.health,
    )
    assert decide([beats_base_only], RULE)[0].outcome == "reject"


def test_a_gain_too_small_is_not_promoted_however_certain():
    """60 wins, no loss, 5000 ties: p is nil, the win rate 0.506; its upper bound 0.518 < 0.52 rejects it. At
    500 ties the rate 0.554 is enough; at 2000 (0.515) the bound 0.533 leaves it open, with no number."""
    assert one((60, 5000, 0)).outcome == "reject"
    assert one((60, 500, 0)).outcome == "promote"
    held = one((60, 2000, 0))
    assert (held.outcome, held.prompts_needed) == ("hold", None)
    assert (
        "gain 0.015 against the 0.02 it must exceed: too small to be decided by more prompts"
        in held.reasons[0]
    )


def test_the_least_gain_is_met_exactly():
    rule = RULE.model_copy(update={"min_gain": 0.1})
    assert one((600, 0, 400), rule).outcome == "promote"  # 0.6 - 0.5 < 0.1 in floating point
    assert one((599, 0, 401), rule).outcome == "hold"
    # 0.52 - 0.5 > 0.02 in floating point, by 2e-17, which would ask for 6e32 prompts
    assert one((104, 0, 96)).prompts_needed is None


def test_a_loss_is_rejected_and_a_draw_is_held():
    lost = one((40, 0, 60))
    assert (lost.outcome, lost.prompts_needed) == ("reject", None)
    assert lost.reasons[0].endswith("over base, upper bound 0.48 < 0.52")
    assert one((50, 0, 50)).outcome == "hold"


def test_a_hold_names_the_prompts_that_would_decide_it():
    """60 : 40, z_0.01 = 2.326, z_0.8 = 0.842: ((1.163 + 0.842 sqrt(.24)) / .1)^2 = 248.2, rounded up; with
    as many ties as discordant prompts the win rate is 0.55 and twice as many are needed; then the gain:
    (0.842 sqrt(.2475) / .03)^2 = 194.8 is fewer."""
    assert one((60, 0, 40)).prompts_needed == 249
    assert one((60, 100, 40)).prompts_needed == 497
    assert "249 prompts would decide it" in one((60, 0, 40)).reasons[0]


@pytest.mark.parametrize("counts", [(60, 0, 40), (58, 30, 42), (30, 40, 18)])
def test_that_many_prompts_decide_it_four_times_in_five(counts):
    needed = one(counts).prompts_needed
    assert needed is not None
    shares = np.array(counts) / sum(counts)
    drawn = np.random.default_rng(0).multinomial(needed, shares, size=1500)
    promoted = np.mean([one(tuple(int(c) for c in row)).outcome == "promote" for row in drawn])
    assert 0.74 < promoted < 0.86


def test_guards_on_the_other_dimensions():
    """At n = 100 and z = 1.645, 45 wins have the lower bound 0.37 > 0.35, 40 have 0.32, 25 the upper 0.33."""
    assert pair((74, 0, 26), (45, 0, 55)).outcome == "promote"
    held = pair((74, 0, 26), (40, 0, 60))
    assert held.outcome == "hold"
    assert "plain: win rate 0.40" in held.reasons[0] and "lower bound 0.32 <= 0.35" in held.reasons[0]
    # ((1.645 sqrt(.35 * .65) + 0.842 sqrt(.4 * .6)) / 0.05)^2 = 572.98
    assert held.prompts_needed == 573
    lost = pair((74, 0, 26), (25, 0, 75))
    assert lost.outcome == "reject" and "upper bound 0.33 < 0.35" in lost.reasons[0]
    beyond = pair((74, 0, 26), (34, 0, 66))
    assert (beyond.outcome, beyond.prompts_needed) == ("hold", None)


def test_text_that_no_longer_reads_like_the_base_is_rejected():
    won = (90, 0, 10)
    assert one(won, perplexity=12.0).outcome == "promote"
    assert one(won, perplexity=12.1).outcome == "reject"
    assert one(won, perplexity=float("nan")).outcome == "reject"
    assert one(won, repetition=0.02).outcome == "promote"
    assert "repetition 0.021 > 0.02, the base's + 0.02" in one(won, repetition=0.021).reasons[0]
    assert one(won, repetition=0.23, base_repetition=0.2).outcome == "promote"
    assert (
        "repetition 0.25 > 0.24, 1.2 times the base's"
        in one(won, repetition=0.25, base_repetition=0.2).reasons[0]
    )


def test_a_judge_that_could_not_be_read_decides_nothing():
    assert one((90, 0, 0), unread=10).outcome == "promote"
    held = one((88, 0, 0), unread=12)
    assert (held.outcome, held.prompts_needed) == ("hold", None)
    assert "12 of 100 verdicts on challenger against base could not be read" in held.reasons[0]
    assert one((0, 0, 88), unread=12).outcome == "hold"


def test_a_missing_comparison_is_an_error():
    with pytest.raises(DataError, match="'positive' does not compare challenger and base on 'plain'"):
        decide([scorecard(d, {d: (50, 0, 50)}) for d in ("positive", "plain")], RULE)


@pytest.mark.parametrize("alpha", [0.01, 0.05])
@pytest.mark.parametrize(("n", "ties"), [(100, 0.0), (200, 0.3)])
def test_an_equal_challenger_is_promoted_at_most_alpha_of_the_time(alpha, n, ties):
    """4000 runs of two dimensions; a run is false where either is promoted. No gain is asked, so that the
    test alone has to hold; the bound lets a rule that is exactly at alpha fail once in a thousand."""
    rule = RULE.model_copy(update={"alpha": alpha, "min_gain": 0.0, "margin": 0.4})
    half = (1 - ties) / 2
    drawn = np.random.default_rng(7).multinomial(n, [half, ties, half], size=(4000, 2))

    @cache
    def promoted(first: Counts, second: Counts) -> bool:
        counts = {"positive": first, "plain": second}
        return any(d.outcome == "promote" for d in decide([scorecard(d, counts) for d in counts], rule))

    false = sum(promoted(*sorted(tuple(map(int, row)) for row in run)) for run in drawn)
    assert 0 < false <= stats.binom.ppf(0.999, 4000, alpha)


def test_power_is_what_the_module_states():
    """Exact: the chance of each number of wins, summed over those that are promoted."""

    @cache
    def promoted(n: int, alpha: float, family: int) -> np.ndarray:
        rule = RULE.model_copy(update={"alpha": alpha})
        beside = [scorecard("other", {"other": (0, n, 0), "plain": (0, n, 0)})] * (family - 1)
        return np.array(
            [
                decide([scorecard("plain", {"plain": (w, 0, n - w), "other": (0, n, 0)}), *beside], rule)[
                    0
                ].outcome
                == "promote"
                for w in range(n + 1)
            ]
        )

    rows = [
        line.split()
        for line in (rule_page or "").splitlines()
        if line.startswith("    ") and line.split()[0].isdigit()
    ]
    assert len(rows) == 9
    for prompts, rate, *stated in rows:
        n = int(prompts)
        chance = stats.binom.pmf(np.arange(n + 1), n, float(rate))
        kinds = [(0.01, 1), (0.01, 2), (0.05, 1), (0.05, 2)]
        assert [f"{(chance * promoted(n, *kind)).sum():.2f}" for kind in kinds] == stated

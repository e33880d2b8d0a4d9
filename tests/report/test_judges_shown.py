"""What a report says of two judges, and of one that was measured against people."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from reported import DIMENSIONS, Outline, made

from genarm.config import RuleConfig
from genarm.evaluation.rule import conditions, decide
from genarm.evaluation.scorecard import score
from genarm.report.build import build_report
from genarm.report.given import ReportInput
from genarm.types import Agreement, Estimate, JudgeCheck, JudgeStanding, Verdict

RULE = RuleConfig(held_out="required")


def two_judges(agreement: float | None, rule: RuleConfig = RULE) -> ReportInput:
    """Every prompt has a second verdict, a win in three of five; the first judge was checked, or not."""
    given = made()
    verdicts: dict[str, list[Verdict]] = {}
    for dimension, rows in given.verdicts.items():
        own = [v for v in rows if v.dimension == dimension]
        verdicts[dimension] = [
            *rows,
            *(
                replace(v, judge="syllables, 2.0", held_out=True, preference=(1.0, -1.0)[i % 5 > 2])
                for i, v in enumerate(own)
            ),
        ]
    check = None
    if agreement is not None:
        rate = Estimate(agreement, (agreement - 0.04, agreement + 0.04), 600)
        seen = Agreement("people.jsonl", "s" * 64, rate, 0.02, 600, 0, 0.0, 1.0, 0.5, 0.5, 0.0)
        check = JudgeCheck("vowels, 1.0", "s", False, rate, 0.02, [seen])
    cards = []
    for card in given.scorecards:
        standings = [
            JudgeStanding(card.dimension, False, "vowels, 1.0", check),
            JudgeStanding(card.dimension, True, "syllables, 2.0", None),
        ]
        answers = given.responses[card.dimension]
        cards.append(
            score(card.dimension, "a" * 64, card.champion, answers, verdicts[card.dimension], standings)
        )
    return replace(
        given,
        verdicts=verdicts,
        scorecards=cards,
        decisions=decide(cards, rule),
        conditions=dict(zip(DIMENSIONS, conditions(cards, rule), strict=True)),
    )


def test_both_judges_stand_on_the_first_screen_with_who_they_are(tmp_path: Path):
    page = build_report(two_judges(0.8), tmp_path)
    seen, markdown = Outline(page.read_text()).text, (tmp_path / "report.md").read_text()
    first_screen = seen[: seen.index("Win rates")]
    for text in (first_screen, markdown):
        assert "by the held-out judge, syllables, 2.0" in text.replace("By the", "by the")
        assert (
            "Corrected for the judge's errors:" in text and "(agreement with people 0.80 [0.76, 0.84]" in text
        )
        assert "agrees with people, 0.80" in text
    assert "Judged by vowels, 1.0" in first_screen and "0.60" in first_screen
    assert "challenger over champion, on positive (held-out judge)" in seen
    assert "agrees with people was not measured" not in seen
    facts = json.loads((tmp_path / "report.json").read_text())
    summary = facts["summaries"][0]
    assert summary["held_out"]["held_out"] and summary["judged"]["held_out"] == "syllables, 2.0"
    assert summary["compared"]["corrected"]["value"] > summary["compared"]["win_rate"]["value"]
    marks = facts["cases"][0]["answers"][-1]["marks"]
    assert sum(m["held_out"] for m in marks) == 2 and facts["scores"] == two_scores(tmp_path)


def two_scores(tmp_path: Path) -> dict[str, object]:
    """The scores are the judge's: those of the held-out one are on another scale."""
    build_report(made(), tmp_path / "one")
    return dict(json.loads((tmp_path / "one" / "report.json").read_text())["scores"])


@pytest.mark.parametrize(
    ("agreement", "mark", "told"),
    [
        (None, "not asked", "not measured against people (genarm judge-check positive FILE)"),
        (0.53, "open", "is not shown to exceed 0.5"),
    ],
)
def test_a_judge_that_nobody_checked_or_that_fails_gets_no_tick(agreement, mark, told, tmp_path: Path):
    build_report(two_judges(agreement), tmp_path)
    facts = json.loads((tmp_path / "report.json").read_text())
    tick = next(t for t in facts["summaries"][0]["ticks"] if t["question"] == "judged")
    assert tick["state"] == mark and any(told in reason for reason in tick["reasons"])
    unchecked = any("agrees with people was not measured" in limit for limit in facts["limits"])
    assert unchecked == (agreement is None)
    corrected = facts["summaries"][0]["corrected"]
    assert corrected.startswith("There is no win rate corrected") if agreement else corrected == ""


def test_a_weak_judge_that_is_allowed_gets_no_tick(tmp_path: Path):
    build_report(two_judges(0.53, RuleConfig(weak_judges=list(DIMENSIONS))), tmp_path)
    facts = json.loads((tmp_path / "report.json").read_text())
    tick = next(t for t in facts["summaries"][0]["ticks"] if t["question"] == "judged")
    assert tick["state"] == "not asked" and "allowed by decide.weak_judges" in tick["reasons"][0]

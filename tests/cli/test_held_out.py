"""A held-out judge through the stages `judge`, `decide` and `report`, and a check against people with it."""

import json

import pytest
from cli_toys import PARAMS

from genarm.evaluation.measures import measures
from genarm.evaluation.scorecard import comparison
from genarm.system.files import read_json, read_rows, write_json
from genarm.types import Scorecard, Verdict

SECOND = PARAMS.replace("judge: length, weight", "judge: length, held_out: 'judges:Vowels', weight")
JUDGES = """
def Vowels(text):
    return sum(letter in "aeiou" for letter in text)

import genarm.judges.scorers
Words = genarm.judges.scorers.length
"""


@pytest.fixture
def judged(project, answered, run):
    (project / "judges.py").write_text(JUDGES)
    (project / "params.yaml").write_text(SECOND)
    code, _, err = run("judge", "length")
    assert code == 0, err
    return answered


def test_the_held_out_judge_judges_the_same_pairings_on_its_own_dimension(judged):
    rows = read_rows(judged.verdicts("length"), Verdict)
    judges = {(v.dimension, v.held_out) for v in rows}
    assert judges == {("length", False), ("brief", False), ("length", True)}
    second = [v for v in rows if v.held_out]
    assert len(second) == 30 and all(v.judge and v.judge.startswith("judges:Vowels") for v in second)
    assert second[0].scores == (7.0, 1.0) and rows[:30] == [v for v in rows if v.dimension == "length"][:30]


def test_both_stand_in_scorecard_metrics_and_report_and_the_rule_reads_the_judge(project, judged, run):
    assert run("decide")[0] == 0
    card = read_json(judged.scorecards, dict[str, Scorecard])["length"]
    first, second = (comparison(card, "length", "base", held_out=h) for h in (False, True))
    assert first and second and (first.wins, second.wins, second.held_out) == (30, 30, True)
    assert len(card.standings) == 3 and card.standings[-1].held_out
    assert json.loads(judged.metrics.read_text())["length"]["win_rate"]["held_out"] == 1.0
    found = measures([card])["length"]
    assert (found["win_rate/held_out"], found["win_rate_n/held_out"], found["win_rate"]) == (1.0, 30, 1.0)
    reasons = json.loads(judged.decisions.read_text())["length"]["reasons"]
    assert any("not measured against people (genarm judge-check length FILE)" in r for r in reasons)
    assert not any("held-out" in r for r in reasons)
    (project / "params.yaml").write_text(SECOND.replace("0.15}", "0.15, held_out: required}"))
    code, _, err = run("decide")
    assert code == 1 and "decide.held_out is required, and dimensions.brief names no held_out judge" in err


def test_a_verdict_file_of_an_earlier_version_is_still_read(judged):
    rows = [json.loads(line) for line in judged.verdicts("length").read_text().splitlines()]
    for row in rows:
        del row["held_out"]
    judged.verdicts("length").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert not any(v.held_out for v in read_rows(judged.verdicts("length"), Verdict))


def test_a_check_holds_the_decision_until_it_is_allowed_by_name(project, judged, run):
    """Half of the pairs speak for the judge and half against it; then all: the rate is corrected."""
    write_json(judged.judge_checks, {"length": None, "brief": None})
    both = [{"prompt": f"say {i}", "chosen": "a b c", "rejected": "a"} for i in range(60)]
    turned = [{"prompt": f"ask {i}", "chosen": "a", "rejected": "a b c"} for i in range(60)]
    (project / "people.jsonl").write_text("\n".join(map(json.dumps, both + turned)))
    assert run("judge-check", "length", "people.jsonl")[0] == 0
    assert run("decide")[0] == 0
    decision = json.loads(judged.decisions.read_text())["length"]
    assert decision["outcome"] in ("hold", "reject")
    assert any("is not shown to exceed 0.5" in r and "decide.weak_judges" in r for r in decision["reasons"])
    (project / "params.yaml").write_text(SECOND.replace("0.15}", "0.15, weak_judges: [length]}"))
    assert run("decide")[0] == 0
    assert "allowed by decide.weak_judges" in judged.decisions.read_text()
    (project / "people.jsonl").write_text("\n".join(map(json.dumps, both)))
    assert run("judge-check", "length", "people.jsonl")[0] == 0 and run("decide")[0] == 0
    card = read_json(judged.scorecards, dict[str, Scorecard])["length"]
    found = comparison(card, "length", "base")
    assert found and found.corrected and found.corrected.value == 1 and found.corrected.interval[0] < 1


def test_the_judge_itself_under_another_name_is_refused(project, judged, run):
    for second in ("judges:Words", "genarm.judges.scorers:length"):
        (project / "params.yaml").write_text(SECOND.replace("judges:Vowels", second))
        code, _, err = run("judge", "length")
        assert code == 1 and f"dimensions.length.held_out, {second}, is the judge length: both are" in err

"""The report: whole, the same bytes for the same input, nothing fetched, no model's text taken for HTML."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from reported import DIMENSIONS, Outline, made, with_text

from genarm.config import RuleConfig
from genarm.evaluation.condition import Condition
from genarm.evaluation.rule import decide
from genarm.report.build import build_report
from genarm.report.numbers import typeset, unbroken
from genarm.types import Looked

HOSTILE = "<script>alert('x')</script> & <img src=http://a.example/b.png> ``` | \\ 日本"


def test_the_first_screen_says_what_was_decided_by_whom_and_why(tmp_path: Path):
    given = made()
    page = build_report(given, tmp_path)
    assert page == tmp_path / "report.html"
    seen = Outline(page.read_text()).text
    markdown = (tmp_path / "report.md").read_text()
    first_screen = seen[: seen.index("Win rates")]
    for decision in given.decisions:
        own = f"{decision.dimension}: win rate"  # its numbers stand in large type above the reasons
        for reason in decision.reasons:
            told = typeset(reason)
            told = told[told.index(" over champion, ") + 16 :] if told.startswith(own) else told
            assert told in markdown
            assert unbroken(told) in first_screen
    assert "positive to be promoted, plain held" in first_screen
    for fact in (
        "2026-11-26",
        "win rate at weight 0.25 over version 3, in use at weight 1",
        "Judged by vowels, 1.0, which also labelled the pairs.",
        "Judged by vowels, 1.0; who labelled the pairs is not known.",
        "temperature 1, top-p 0.95, at most 64 new tokens, seed 0",
        "base sampled at temperature 0.80 for positive",
        "999999999999, with uncommitted changes",
        "implicit accuracy 0.71 on 130 validation pairs",
        "In part it learned to prefer longer responses: it is right in 0.80 of the 70 pairs",
    ):
        assert fact in first_screen, fact
    # five evaluations of two curves in each dimension, and one in the legend
    assert page.read_text().count('<circle class="validation"') == 2 * 2 * 5 + 1
    assert "4.1e-06" not in seen and "< 0.0001" in seen


@pytest.mark.parametrize("champion", [True, False])
def test_every_prompt_can_be_read_with_every_side(tmp_path: Path, champion: bool):
    given = made(champion=champion)
    page = build_report(given, tmp_path).read_text()
    cases = json.loads((tmp_path / "report.json").read_text())["cases"]
    assert [c["id"] for c in cases] == sorted(p.id for p in given.prompts)
    sides = ["champion", "challenger"] if champion else ["challenger"]
    expected = ["base", *(f"{d} {s}" for d in DIMENSIONS for s in sides)]
    assert all([a["name"] for a in c["answers"]] == expected for c in cases)
    assert all(len(c["answers"][-1]["marks"]) == 2 * (2 if champion else 1) for c in cases)
    assert page.count('<details class="case"') == 60
    for case in cases:
        for answer in case["answers"]:
            assert "".join(s["text"] for s in answer["spans"]) in ("", answer["text"])


def test_best_and_worst_are_the_largest_gains_and_losses(tmp_path: Path):
    given = made()
    page = Outline(build_report(given, tmp_path).read_text()).text
    facts = json.loads((tmp_path / "report.json").read_text())
    gains = {c["id"]: c["gains"]["positive"] for c in facts["cases"] if "positive" in c["gains"]}
    assert set(gains.values()) == {10.0, -10.0, 0.0}
    best, worst = (facts["extremes"]["positive"][k] for k in ("best", "worst"))
    assert [gains[i] for i in (*best, *worst)] == [10.0] * 3 + [-10.0] * 3
    assert "positive gained most" in page and "positive lost most" in page
    rows = {(s, r["name"]): r for s, rows in facts["scores"].items() for r in rows}
    assert rows["positive", "base"]["n"] < 60, "some verdicts were not read"
    assert rows["positive", "positive challenger"]["mean"] > rows["positive", "base"]["mean"]


def test_a_tick_follows_the_worst_condition(tmp_path: Path):
    """The only dimension has no other one to harm; a failed and a passed condition make a failed tick."""
    given = made()
    asked = dict(given.conditions["plain"])
    asked["fluent"] = [*asked["fluent"], Condition("failed", "perplexity 20 > 12")]
    changed = {"positive": {**given.conditions["positive"], "harmless": []}, "plain": asked}
    build_report(replace(given, conditions=changed), tmp_path)
    facts = json.loads((tmp_path / "report.json").read_text())
    states = {s["dimension"]: {t["question"]: t["state"] for t in s["ticks"]} for s in facts["summaries"]}
    assert states["positive"] == {
        "better": "passed",
        "harmless": "not asked",
        "fluent": "passed",
        "varied": "passed",
    }
    assert states["plain"]["better"] == "open" and states["plain"]["fluent"] == "failed"
    assert "✗ Fluent: perplexity" in (tmp_path / "report.md").read_text()


def test_verdicts_of_an_earlier_version_are_shown_without_scores(tmp_path: Path):
    given = made()
    bare = {d: [replace(v, scores=None, judge=None) for v in rows] for d, rows in given.verdicts.items()}
    seen = Outline(build_report(replace(given, verdicts=bare), tmp_path).read_text()).text
    assert "preferences only, no scores" in seen and "Who judged is not known" in seen


def test_colour_shows_where_guidance_acted(tmp_path: Path):
    """`challenger on ...`: six characters raised by 0.7 nats, three lowered by 1.2, four by nothing."""
    page = build_report(made(), tmp_path).read_text()
    assert '<mark class="u1">challe</mark><mark class="d2">nge</mark>r on' in page


def test_the_same_input_gives_the_same_bytes(tmp_path: Path):
    for folder in ("a", "b"):
        build_report(made(), tmp_path / folder)
    for name in ("report.html", "report.md", "report.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_text_of_a_model_is_shown_as_text(tmp_path: Path):
    page = build_report(with_text(made(), HOSTILE), tmp_path).read_text()
    outline = Outline(page)
    assert HOSTILE in outline.text
    tags = [tag for tag, _ in outline.tags]
    assert not {"img", "link", "iframe", "a"} & set(tags) and tags.count("script") == 1
    # In Markdown each stands in a block whose fence is longer than its own.
    assert f"````text\n{HOSTILE}\n````" in (tmp_path / "report.md").read_text()


def test_the_page_fetches_nothing_and_runs_its_own_script_only(tmp_path: Path):
    page = build_report(made(), tmp_path).read_text()
    tags = Outline(page).tags
    addresses = {tag for tag, given in tags for value in given.values() if "://" in (value or "")}
    assert addresses == {"a"}, "links lead away, nothing is fetched"
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page


def test_links_lead_to_servers_and_nowhere_else(tmp_path: Path):
    given = made()
    page = build_report(given, tmp_path).read_text()
    links = [given["href"] for tag, given in Outline(page).tags if tag == "a"]
    mlflow = "https://mlflow.example.org/#/models/genarm-positive/versions/4"
    assert links == [f"https://github.com/o/r/commit/{'9' * 40}", mlflow]
    hostile = replace(
        given, lineage={**given.lineage, "git page": "javascript:alert(1)", "mlflow server": ""}
    )
    assert "<a " not in build_report(hostile, tmp_path).read_text()


def test_a_run_that_measured_nothing_still_has_a_report(tmp_path: Path):
    """Every challenger is the champion: no comparison, no response, and nothing was refused."""
    given = made()
    cards = [replace(s, challenger_sha256="c" * 64, comparisons=[], health=[]) for s in given.scorecards]
    bare = replace(
        given, scorecards=cards, decisions=decide(cards, RuleConfig()), conditions={}, curves={},
        train_metrics={}, responses={}, verdicts={}, pair_stats={}, quarantine=[], lineage={},
    )  # fmt: skip
    seen = Outline(build_report(bare, tmp_path).read_text()).text
    assert "positive unchanged, plain unchanged" in seen and "No row was refused" in seen


def test_a_run_that_looked_more_than_once_says_which_p_the_rule_reads(tmp_path):
    given = made()
    cards = [
        replace(c, comparisons=[replace(x, looked=Looked(0.0123, 0.4, 2, 600)) for x in c.comparisons])
        for c in given.scorecards
    ]
    build_report(replace(given, scorecards=cards), tmp_path)
    page, text = ((tmp_path / name).read_text() for name in ("report.html", "report.md"))
    for shown in (page, text):
        assert "for at most 600 prompts" in shown and "(0.012)" in shown and "always-valid" in shown
    build_report(given, tmp_path)
    assert "always-valid" not in (tmp_path / "report.html").read_text() + (tmp_path / "report.md").read_text()

"""The report: whole, the same bytes for the same input, nothing fetched, no model's text taken for HTML."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from genarm.config import RuleConfig
from genarm.evaluation.rule import conditions, decide
from genarm.evaluation.scorecard import score
from genarm.report.build import ReportInput, build_report
from genarm.report.svg import curves, interval_strip, ticks
from genarm.types import ArmCard, Champion, Comparison, Estimate, Message, Prompt, Response, Side, Verdict

DIMENSIONS = ("positive", "plain")
HOSTILE = "<script>alert('x')</script> & <img src=http://a.example/b.png> ``` | \\ 日本"
TOPICS = (
    "a rainy Sunday",
    "my first 10 km run",
    "the moon landing",
    "sourdough that will not rise",
    "tax forms",
)


def made(*, champion: bool = True) -> ReportInput:
    """Two challengers on 60 prompts: `positive` wins two in three, `plain` is even; nothing is random."""
    prompts = [
        Prompt((Message("user", f"What should I know about {TOPICS[i % 5]}? Please keep it short ({i})."),))
        for i in range(60)
    ]
    used = Champion(3, "m-3", "c" * 64, 1.0) if champion else None
    names: list[Side] = ["base", "champion", "challenger"] if champion else ["base", "challenger"]
    rivals: list[Side] = ["champion", "base"] if champion else ["base"]
    responses: dict[str, dict[Side, list[Response]]] = {}
    verdicts: dict[str, list[Verdict]] = {}
    for dimension in DIMENSIONS:
        responses[dimension] = {
            side: [
                Response(
                    p.id,
                    f"{side} on {dimension}: start small and enjoy what works. {'And more. ' * (i % 7)}",
                    30 + (i * (3 + len(side))) % 23,
                    "length" if i % 3 else "stop",
                    -60.0 - i % 5,
                    0.0 if side == "base" else 0.21,
                )
                for i, p in enumerate(prompts)
            ]
            for side in names
        }
        verdicts[dimension] = [
            Verdict(p.id, judged, "challenger", rival, _preference(i, judged == dimension == "positive"))
            for judged in DIMENSIONS
            for rival in rivals
            for i, p in enumerate(prompts)
        ]
    cards = [score(d, "a" * 64, used, responses[d], verdicts[d]) for d in DIMENSIONS]
    train = {"pairs": 820, "prompts": 205, "longer_is_chosen": 0.58}
    tokens = {"mean": 41.5, "p50": 40, "p95": 62, "max": 64}
    stats = {
        "rows": 1300, "pairs": 1290, "refused": {"empty response": 6, "duplicate": 4}, "refused_share": 0.005,
        "prompt": tokens, "chosen": tokens, "rejected": tokens,
        "splits": {"train": train, "validation": {**train, "pairs": 100}, "evaluation": train},
    }  # fmt: skip
    return ReportInput(
        decisions=decide(cards, RuleConfig()),
        scorecards=cards,
        cards={d: _arm(d) for d in DIMENSIONS},
        train_metrics={
            d: {
                "rewards/accuracies": 0.71,
                "accuracy before": 0.52,
                "longer is chosen": 0.58,
                "seconds": 143.2,
            }
            for d in DIMENSIONS
        },
        curves={d: _curves() for d in DIMENSIONS},
        prompts=prompts,
        responses=responses,
        verdicts=verdicts,
        pair_stats=dict.fromkeys(DIMENSIONS, stats),
        quarantine=[
            {"dimension": "plain", "file": "plain.jsonl", "row": i, "reason": r} for i, r in enumerate("aab")
        ],
        lineage={
            "git commit": "9" * 40,
            "data md5": "8" * 32 + ".dir",
            "prefect flow run": "",
            "positive: mlflow": "v4",
        },
    )


def _preference(i: int, better: bool) -> float | None:
    if i % 17 == 3:
        return 0.0 if i % 2 else None
    return 1.0 if (i * 7) % 60 < (44 if better else 30) else -1.0


def _arm(dimension: str) -> ArmCard:
    params = {"train": {"beta": 0.1, "learning_rate": 5e-4}, "pairs": {"seed": 0}}
    return ArmCard(
        dimension, "smollm2-135m-instruct", None, "b" * 64, "smollm2-135m-instruct", None, "d" * 64, "a" * 64,
        0.1, 1.0, "e" * 64, "8" * 32, "9" * 40, params,
    )  # fmt: skip


def _curves() -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    for step in range(1, 52):
        value = 0.69 * 0.985**step + 0.02 * ((step * 7) % 5 - 2)
        accuracy = min(1.0, 0.5 + step / 200 + 0.04 * ((step * 3) % 5 - 2))
        rows.append(
            {"step": step, "loss": value, "rewards/accuracies": accuracy, "rewards/margins": step / 60}
        )
        if step % 10 == 0:
            rows.append(
                {"step": step, "eval/loss": value + 0.02, "eval/rewards/accuracies": 0.5 + step / 240}
            )
    return rows


class Outline(HTMLParser):
    """Tags, and text that a reader sees; fails on a tag that is never closed."""

    VOID = ("meta", "br", "img", "link")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def with_text(given: ReportInput, text: str) -> ReportInput:
    """The same input where every text that a stranger may have written is `text`."""
    prompt = Prompt((Message("user", text), Message("assistant", text), Message("user", text)))
    return replace(
        given,
        prompts=[prompt],
        responses={
            d: {side: [replace(rows[0], prompt_id=prompt.id, text=text)] for side, rows in sides.items()}
            for d, sides in given.responses.items()
        },
        quarantine=[{"dimension": "plain", "reason": text}],
        lineage={text: text},
        train_metrics={"plain": {text: 1.0}},
    )


def test_the_page_says_what_was_decided_and_why(tmp_path: Path):
    given = made()
    page = build_report(given, tmp_path)
    assert page == tmp_path / "report.html"
    seen = Outline(page.read_text()).text
    markdown = (tmp_path / "report.md").read_text()
    for decision in given.decisions:
        for reason in decision.reasons:
            assert reason in markdown
            assert reason.replace(" <= ", " ≤ ").replace(" >= ", " ≥ ") in seen
    # five evaluations of two curves in each dimension, and one in the legend
    assert page.read_text().count('<circle class="validation"') == 2 * 2 * 5 + 1
    first_screen = seen[: seen.index("Win rates")]
    assert all(d.dimension in first_screen and d.outcome in first_screen for d in given.decisions)


@pytest.mark.parametrize("champion", [True, False])
def test_eight_prompts_are_shown_with_every_side(tmp_path: Path, champion: bool):
    build_report(made(champion=champion), tmp_path)
    examples = json.loads((tmp_path / "report.json").read_text())["examples"]
    assert len(examples) == 8
    sides = ["champion", "challenger"] if champion else ["challenger"]
    expected = ["base", *(f"{d} {s}" for d in DIMENSIONS for s in sides)]
    assert all([c["name"] for c in e["cells"]] == expected for e in examples)
    rivals = 2 if champion else 1
    assert all(len(e["cells"][-1]["verdicts"]) == 2 * rivals for e in examples)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path):
    for folder in ("a", "b"):
        build_report(made(), tmp_path / folder)
    for name in ("report.html", "report.md", "report.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_text_of_a_model_is_shown_as_text(tmp_path: Path):
    page = build_report(with_text(made(), HOSTILE), tmp_path).read_text()
    outline = Outline(page)
    assert HOSTILE in outline.text
    assert not {"script", "img", "link", "iframe", "a"} & {tag for tag, _ in outline.tags}
    # In Markdown each stands in a block whose fence is longer than its own.
    assert f"````text\n{HOSTILE}\n````" in (tmp_path / "report.md").read_text()


def test_the_page_fetches_nothing(tmp_path: Path):
    page = build_report(made(), tmp_path).read_text()
    attributes = [value or "" for _, given in Outline(page).tags for value in given.values()]
    assert not any("://" in value for value in attributes)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "default-src 'none'" in page


def test_a_run_that_measured_nothing_still_has_a_report(tmp_path: Path):
    """Every challenger is the champion: no comparison, no response, and nothing was refused."""
    given = made()
    cards = [replace(s, challenger_sha256="c" * 64, comparisons=[], health=[]) for s in given.scorecards]
    bare = replace(
        given, scorecards=cards, decisions=decide(cards, RuleConfig()), curves={}, train_metrics={},
        responses={}, verdicts={}, pair_stats={}, quarantine=[], lineage={},
    )  # fmt: skip
    seen = Outline(build_report(bare, tmp_path).read_text()).text
    assert "positive unchanged, plain unchanged" in seen and "No row was refused" in seen


def test_marks_stand_where_the_numbers_say():
    estimate = Estimate(0.74, (0.65, 0.81), 112)
    row = Comparison(
        "plain", "challenger", "base", estimate, 80, 6, 26, 0, 1e-6, Estimate(0.7, (0.6, 0.8), 112)
    )
    strip = interval_strip(row)
    assert '<line class="raw" x1="65.00%" x2="81.00%"' in strip and 'cx="74.00%"' in strip
    assert 'class="controlled" cx="70.00%"' in strip
    assert "controlled" not in interval_strip(replace(row, length_controlled=None))


def test_a_curve_spans_its_axes():
    """Steps 0 to 40 and values 0 to 1 fill the frame: x from 40 to 320, y from 164 up to 12."""
    drawn = curves("loss", {"train": [(0, 0.0), (20, 0.5), (40, 1.0)]})
    assert re.search(r'points="40\.0,164\.0 180\.0,88\.0 320\.0,12\.0"', drawn)
    assert curves("loss", {}) == ""


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 50, 100]),
        (0, 51, [0, 20, 40, 60]),
        (0.42, 0.71, [0.4, 0.5, 0.6, 0.7, 0.8]),
        (-0.3, 1.2, [-0.5, 0, 0.5, 1, 1.5]),
        (3, 3, [2.5, 3, 3.5]),
        (1e-6, 9e-6, [0, 5e-6, 1e-5]),
    ],
)
def test_ticks_are_round_and_span_the_values(low, high, expected):
    found = ticks(low, high, 4)
    assert found[0] <= low and found[-1] >= high and len(found) <= 5
    assert found[: len(expected)] == pytest.approx(expected)

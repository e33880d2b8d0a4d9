"""Everything that a run measured, as one self-contained HTML page, as Markdown and as JSON.

The same input gives the same bytes: no clock, no random choice. What differs from run to run (the date, ids
of servers) comes in through `lineage` alone, and the seconds that answers took through `respond_seconds`.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from genarm.errors import DataError
from genarm.evaluation.scorecard import comparison
from genarm.report import numbers
from genarm.report.cases import all_cases, extremes
from genarm.report.cost import costs
from genarm.report.given import ReportInput, side_name
from genarm.report.learned import PARTS, learned
from genarm.report.links import links
from genarm.report.scores import scores
from genarm.report.strength import strength_curves
from genarm.report.summary import decoding, limits, summaries
from genarm.report.svg import curves, interval_strip
from genarm.system import metric_names as names
from genarm.system.files import write_json, write_text
from genarm.types import ArmCard

TEMPLATES = Path(__file__).parent / "templates"
PAGES = {"report.html": "report.html", "report.md": "report.md.jinja"}  # file -> template
FILTERS = ("short", "typeset", "unbroken", "count", "people", "share", "duration", "fenced", "cell")
EXAMPLES = 8  # prompts that Markdown shows; the page and JSON have all
CURVES = (
    names.LOSS,
    names.ACCURACY,
    names.MARGIN,
    names.CHOSEN_PERPLEXITY,
    names.KL_TO_BASE,
    names.IMPLICIT_ACCURACY,
    names.IMPLICIT_MARGIN,
)


def build_report(given: ReportInput, folder: Path) -> Path:
    """Write report.html, report.md and report.json into `folder`; the path of the page.

    Raises DataError where the counts of the pairs are not all there.
    """
    view, pages_of = _view(given), environment()
    try:
        pages = {name: pages_of.get_template(template).render(view) for name, template in PAGES.items()}
    except UndefinedError as error:  # all else that is shown was read as a noun
        raise DataError(
            f"a stats.json in artifacts/pairs lacks a field: {error.message}",
            hint="run its stage again: dvc repro pairs",
        ) from None
    for name, page in pages.items():
        write_text(folder / name, page)
    write_json(folder / "report.json", _facts(given, view))
    return folder / "report.html"


def environment() -> Environment:
    """The templates, with the filters that numbers and texts are shown by."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is not None and name.endswith(".html"),  # a model may write anything
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update({name: getattr(numbers, name) for name in FILTERS})
    return made


def _view(given: ReportInput) -> dict[str, Any]:
    """The values that both templates read."""
    found, cases = summaries(given), all_cases(given)
    scorecards = {s.dimension: s for s in given.scorecards}
    script = (TEMPLATES / "pager.js").read_text(encoding="utf-8")
    return {
        "given": given,
        "title": ", ".join(f"{s.dimension} {s.words}" for s in found),
        "summaries": found,
        "limits": limits(given),
        "decoding": decoding(given.sampling),
        "links": links(given.lineage, [d.dimension for d in given.decisions]),
        "scorecards": scorecards,
        "decided": {d: comparison(card, d, card.rival) for d, card in scorecards.items()},
        "strip": interval_strip,
        "strengths": strength_curves(given),
        "scores": scores(given),
        "extremes": [extremes(cases, card) for card in given.scorecards if card.comparisons],
        "cases": cases,
        "examples": cases[:EXAMPLES],
        "health": _text_health(given),
        "charts": {name: _charts(rows) for name, rows in given.curves.items() if rows},
        "metrics": sorted({key for metrics in given.train_metrics.values() for key in metrics}),
        "learned": learned(given.train_metrics),
        "parts_by_length": [*PARTS.values()],
        "costs": costs(given),
        "quarantine": _quarantine(given.quarantine),
        "params": {
            name: json.dumps(card.params, indent=2, sort_keys=True, ensure_ascii=False)
            for name, card in given.cards.items()
        },
        "params_sha256": {name: _params_hash(card) for name, card in given.cards.items()},
        # Ours, and the only one that runs: the page's policy names its hash.
        "script": Markup(script),
        "script_sha256": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def _facts(given: ReportInput, view: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the page for programs, with numbers in full and every prompt."""
    shown = ("title", "summaries", "limits", "links", "cases", "learned", "costs", "quarantine")
    handed = ("decisions", "scorecards", "sampling", "weights", "cards", "train_metrics", "pair_stats")
    return {
        **{name: view[name] for name in shown},
        **{name: getattr(given, name) for name in (*handed, "lineage", "tuned")},
        "scores": {s.dimension: s.rows for s in view["scores"]},
        "extremes": {
            e.dimension: {"best": [c.id for c in e.best], "worst": [c.id for c in e.worst]}
            for e in view["extremes"]
        },
        "text_health": view["health"],
    }


def _text_health(given: ReportInput) -> list[dict[str, Any]]:
    """One row for each side; the base has one row in all, since it answers once for all dimensions."""
    rows: dict[str, dict[str, Any]] = {}
    for card in given.scorecards:
        for health in card.health:
            answers = given.responses.get(card.dimension, {}).get(health.side, ())
            cut = sum(r.finish_reason == "length" for r in answers) / len(answers) if answers else None
            name = side_name(card.dimension, health.side)
            rows.setdefault(name, {"name": name, "health": health, "cut": cut})
    return list(rows.values())


def _charts(rows: Sequence[Mapping[str, float]]) -> list[tuple[str, str]]:
    """Name and picture of each curve; validation is logged under the same names after `eval/`."""
    charts: list[tuple[str, str]] = []
    for name in CURVES:
        keys = {"train": name, "validation": names.evaluation_name(name)}
        lines = {
            kind: [(r[names.STEP], r[k]) for r in rows if names.STEP in r and k in r]
            for kind, k in keys.items()
        }
        if chart := curves(name, {kind: line for kind, line in lines.items() if line}):
            charts.append((name, chart))
    return charts


def _quarantine(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Refused rows, counted by dimension and reason, the most frequent first."""
    counts = Counter((str(r.get("dimension", "")), str(r.get("reason", ""))) for r in rows)
    ranked = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [{"dimension": dimension, "reason": reason, "rows": n} for (dimension, reason), n in ranked]


def _params_hash(card: ArmCard) -> str:
    return hashlib.sha256(json.dumps(card.params, sort_keys=True).encode()).hexdigest()

"""Everything that a run measured, as one self-contained HTML page, as Markdown and as JSON.

The same input gives the same bytes: no clock, no random choice. What differs from run to run (ids of servers)
comes in through `lineage` alone.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

from genarm.errors import DataError
from genarm.evaluation.scorecard import SIDES
from genarm.evaluation.win_rate import TIE
from genarm.report.svg import curves, interval_strip
from genarm.system import metric_names as names
from genarm.system.files import write_json, write_text
from genarm.types import ArmCard, Comparison, Decision, Prompt, Response, Scorecard, Side, Verdict

EXAMPLES = 8
PAGES = {"report.html": "report.html", "report.md": "report.md.jinja"}  # file -> template
CURVES = (names.LOSS, names.ACCURACY, names.MARGIN, names.CHOSEN_PERPLEXITY, names.KL_TO_BASE)
OUTCOMES = {"promote": "promoted", "hold": "held", "reject": "rejected", "same": "unchanged"}


@dataclass(frozen=True, slots=True)
class ReportInput:
    """What the report shows. Mappings are by dimension, except `lineage`: name -> value."""

    decisions: Sequence[Decision]
    scorecards: Sequence[Scorecard]
    cards: Mapping[str, ArmCard]
    train_metrics: Mapping[str, Mapping[str, float]]
    curves: Mapping[str, Sequence[Mapping[str, float]]]
    prompts: Sequence[Prompt]
    responses: Mapping[str, Mapping[Side, Sequence[Response]]]
    verdicts: Mapping[str, Sequence[Verdict]]
    pair_stats: Mapping[str, Any]
    quarantine: Sequence[Mapping[str, Any]]
    lineage: Mapping[str, str]


def build_report(given: ReportInput, folder: Path) -> Path:
    """Write report.html, report.md and report.json into `folder`; the path of the page.

    Raises DataError where the counts of the pairs are not all there.
    """
    view = _view(given)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html"),  # a model may write anything
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(short=_short, typeset=_typeset, number=_number, fenced=_fenced, cell=_cell)
    try:
        pages = {name: environment.get_template(template).render(view) for name, template in PAGES.items()}
    except UndefinedError as error:  # all else that is shown was read as a noun
        raise DataError(
            f"a stats.json in artifacts/pairs lacks a field: {error.message}",
            hint="run its stage again: dvc repro pairs",
        ) from None
    for name, page in pages.items():
        write_text(folder / name, page)
    write_json(
        folder / "report.json",
        {
            "decisions": list(given.decisions),
            "scorecards": list(given.scorecards),
            "cards": dict(given.cards),
            "train_metrics": given.train_metrics,
            "pair_stats": given.pair_stats,
            "quarantine": view["quarantine"],
            "examples": view["examples"],
            "lineage": given.lineage,
        },
    )
    return folder / "report.html"


def _view(given: ReportInput) -> dict[str, Any]:
    """The values that both templates read."""
    scorecards = {s.dimension: s for s in given.scorecards}
    return {
        "given": given,
        "title": ", ".join(f"{d.dimension} {OUTCOMES[d.outcome]}" for d in given.decisions),
        "outcomes": OUTCOMES,
        "scorecards": scorecards,
        "decided": {name: _decided(card) for name, card in scorecards.items()},
        "strip": interval_strip,
        "health": _text_health(given),
        "charts": {name: _charts(rows) for name, rows in given.curves.items() if rows},
        "metrics": sorted({key for metrics in given.train_metrics.values() for key in metrics}),
        "examples": _examples(given),
        "quarantine": _quarantine(given.quarantine),
        "params": {
            name: json.dumps(card.params, indent=2, sort_keys=True, ensure_ascii=False)
            for name, card in given.cards.items()
        },
        "params_sha256": {name: _params_hash(card) for name, card in given.cards.items()},
    }


def _decided(card: Scorecard) -> Comparison | None:
    """The comparison that the decision turns on."""
    wanted = (card.dimension, "challenger", card.rival)
    return next((c for c in card.comparisons if (c.dimension, c.left, c.right) == wanted), None)


def _text_health(given: ReportInput) -> list[dict[str, Any]]:
    """One row for each side; the base has one row in all, since it answers once for all dimensions."""
    rows: dict[str, dict[str, Any]] = {}
    for card in given.scorecards:
        for health in card.health:
            answers = given.responses.get(card.dimension, {}).get(health.side, ())
            cut = sum(r.finish_reason == "length" for r in answers) / len(answers) if answers else None
            name = "base" if health.side == "base" else f"{card.dimension} {health.side}"
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


def _examples(given: ReportInput) -> list[dict[str, Any]]:
    """The first prompts by id. An id is a hash, so the choice does not depend on the answers."""
    answers = {
        (dimension, side, r.prompt_id): r
        for dimension, sides in given.responses.items()
        for side, rows in sides.items()
        for r in rows
    }
    answered = {prompt_id for _, _, prompt_id in answers}
    chosen = sorted((p for p in given.prompts if p.id in answered), key=lambda p: p.id)[:EXAMPLES]
    examples = []
    for prompt in chosen:
        cells: dict[str, dict[str, Any]] = {}
        for dimension in given.responses:
            for side in SIDES:
                if answer := answers.get((dimension, side, prompt.id)):
                    name = "base" if side == "base" else f"{dimension} {side}"
                    shown = {"name": name, "side": side, "text": answer.text, "tokens": answer.tokens}
                    judged = [
                        v
                        for v in given.verdicts.get(dimension, ())
                        if (v.prompt_id, v.left) == (prompt.id, side)
                    ]
                    cells.setdefault(
                        name,
                        {
                            **shown,
                            "cut": answer.finish_reason == "length",
                            "verdicts": [_outcome(v) for v in judged],
                        },
                    )
        examples.append(
            {"id": prompt.id, "messages": [asdict(m) for m in prompt.messages], "cells": list(cells.values())}
        )
    return examples


def _outcome(verdict: Verdict) -> dict[str, Any]:
    preference = verdict.preference
    if preference is None:
        word = "unread"
    else:
        word = "win" if preference > TIE else "loss" if preference < -TIE else "tie"
    return {"dimension": verdict.dimension, "rival": verdict.right, "word": word, "preference": preference}


def _quarantine(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Refused rows, counted by dimension and reason, the most frequent first."""
    counts = Counter((str(r.get("dimension", "")), str(r.get("reason", ""))) for r in rows)
    ranked = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [{"dimension": dimension, "reason": reason, "rows": n} for (dimension, reason), n in ranked]


def _params_hash(card: ArmCard) -> str:
    return hashlib.sha256(json.dumps(card.params, sort_keys=True).encode()).hexdigest()


def _short(value: object) -> str:
    """The first 12 digits of a hash, other text as it is. DVC ends the hash of a folder with `.dir`."""
    text = str(value)
    digits = text.removesuffix(".dir")
    return text[:12] if len(digits) >= 32 and set(digits) <= set("0123456789abcdef") else text


def _typeset(reason: str) -> str:
    return reason.replace(" >= ", " ≥ ").replace(" <= ", " ≤ ")


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def _fenced(text: str) -> str:
    """Text as a Markdown code block that it cannot close itself."""
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _cell(value: object) -> str:
    """Text as a cell of a Markdown table."""
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

"""The data card of the seed: its numbers, and the Markdown page that a template makes of them."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from genarm.data.lengths import longer_is_chosen
from genarm.models import ModelSource
from genarm.synthesis.synthesize import Settings, Synthesis
from genarm.types import PreferencePair

MEANING = {
    "positive": "more cheerful wording: VADER compound score, vaderSentiment 3.3.2",
    "plain": "easier wording: Flesch reading ease, textstat 0.7.8, clipped to [-50, 120]",
}


def card(made: Synthesis, settings: Settings, source: ModelSource, prompts_sha256: str) -> str:
    """The card as Markdown. `prompts_sha256` is that of prompts.jsonl."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["two"] = lambda value: f"{value:.2f}"
    return environment.get_template("card.md.jinja").render(
        made=made,
        settings=settings,
        source=source,
        prompts_sha256=prompts_sha256,
        dimensions=[_dimension(made, name, settings.gaps[name]) for name in made.pairs],
        words=statistics.fmean(len(candidate.text.split()) for candidate in made.candidates),
        agreement=_agreement(made) if len(made.pairs) > 1 else None,
    )


def _dimension(made: Synthesis, name: str, gap: float) -> Mapping[str, Any]:
    """The scores of all responses on one dimension, and the pairs made from them."""
    scores = [candidate.scores[name] for candidate in made.candidates]
    pairs, tenths = made.pairs[name], statistics.quantiles(scores, n=10)
    return {
        "name": name,
        "meaning": MEANING.get(name, f"the higher score by {name}"),
        "scores": {
            "mean": statistics.fmean(scores),
            "deviation": statistics.stdev(scores),
            "p10": tenths[0],
            "p50": tenths[4],
            "p90": tenths[8],
        },
        "gap": gap,
        "pairs": len(pairs),
        "prompts": len({pair.prompt for pair in pairs}),
        "longer_is_chosen": longer_is_chosen([_words(pair) for pair in pairs]),
    }


def _agreement(made: Synthesis) -> Mapping[str, Any]:
    """How far the first two dimensions agree. `same_side` is None where they have no pair in common."""
    from scipy.stats import spearmanr

    one, other = list(made.pairs)[:2]
    columns = [[candidate.scores[name] for candidate in made.candidates] for name in (one, other)]
    chosen_by_one = _chosen(made.pairs[one])
    same_side = [
        chosen_by_one[sides] == chosen
        for sides, chosen in _chosen(made.pairs[other]).items()
        if sides in chosen_by_one
    ]
    return {
        "one": one,
        "other": other,
        "correlation": spearmanr(*columns).statistic,
        "common": len(same_side),
        "same_side": statistics.fmean(same_side) if same_side else None,
    }


def _chosen(pairs: Sequence[PreferencePair]) -> dict[tuple[object, frozenset[str]], str]:
    """Prompt and both responses of each pair -> the chosen one."""
    return {(pair.prompt, frozenset((pair.chosen, pair.rejected))): pair.chosen for pair in pairs}


def _words(pair: PreferencePair) -> tuple[int, int]:
    return len(pair.chosen.split()), len(pair.rejected.split())

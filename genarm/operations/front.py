"""Several ARMs together: mixtures of them on validation prompts, and the front that they reach."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from genarm.errors import ConfigError
from genarm.evaluation.front import Mixture, non_dominated, simplex
from genarm.evaluation.sweep import Setting, sweep
from genarm.evaluation.text_health import text_health
from genarm.judges import load_with_origin
from genarm.models import load_tokenizer
from genarm.pipeline.decoder import open_decoder, trained_arm
from genarm.pipeline.preflight.judges import require_able
from genarm.pipeline.project import Project
from genarm.pipeline.validation import over_base, validation_prompts
from genarm.report.front_page import write_page
from genarm.system.files import write_json, write_text
from genarm.system.progress import counting
from genarm.types import Champion, Estimate, Guidance, Tuned

HELD_OUT = " held out"  # marks the name of a held-out judge; no dimension's name has a space


def front(
    project: Project,
    weights: Mapping[str, float] | None = None,
    *,
    steps: int = 4,
    prompts: int | None = None,
) -> Path:
    """Answer validation prompts with the base and every mixture of the trained ARMs; the results' folder.

    Each ARM gets shares of 0, 1 / steps, ... 1 of its weight: the one that it was tuned for, or that of
    `weights`. Writes `front.json`, `front.csv` and `front.html`. Raises ConfigError for fewer than two
    dimensions, DataError where an ARM has no weight yet, and JudgeError where a judge cannot judge.
    """
    params = project.params
    dimensions = list(params.dimensions)
    if len(dimensions) < 2:
        raise ConfigError(
            f"params.yaml has one dimension, {dimensions[0]}, and a front is of several",
            hint=f"how it does by weight is in artifacts/tune: genarm tune {dimensions[0]}",
        )
    used = {d: strength_of(project, d) for d in dimensions}
    full = {d: (weights or {}).get(d, used[d].weight) for d in dimensions}
    shares = [dict(zip(dimensions, row, strict=True)) for row in simplex(len(dimensions), steps)]
    mixed = [{d: share * full[d] for d, share in row.items() if share * full[d]} for row in shares]
    found = _measured(project, mixed, [_name(row) for row in shares], used, prompts or params.tune.prompts)
    folder = project.layout.front
    write_json(folder / "front.json", {"mixtures": found, "weights": full})
    write_text(folder / "front.csv", as_csv(found, dimensions))
    write_page(folder / "front.html", found, dimensions)
    return folder


def strength_of(project: Project, dimension: str) -> Champion | Tuned:
    """How strongly a trained ARM guides: as the version in use, where it is that, or as it was tuned."""
    champion = project.champions(missing_ok=True).get(dimension)
    trained_arm(project, dimension)
    in_use = champion is not None and project.is_in_use(dimension, champion)
    return champion if champion and in_use else project.tuned(dimension)


def as_csv(mixtures: Sequence[Mixture], dimensions: Sequence[str]) -> str:
    """The mixtures as CSV, a row each: weights, win rates with their intervals, text, and the front.

    Win rates by held-out judges come last, of the dimensions that have one.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    rates = [f"{d}_{name}" for d in dimensions for name in ("win_rate", "lower", "upper")]
    weights = [f"{d}_weight" for d in dimensions]
    doubled = [d for d in dimensions if all(d in m.held_out for m in mixtures)]
    of_second = [f"{d}_held_out_{name}" for d in doubled for name in ("win_rate", "lower", "upper")]
    health = ["kl", "perplexity", "repetition", "mean_tokens", "finished"]
    writer.writerow(["name", *weights, *rates, *health, "on_front", *of_second])
    for m in mixtures:
        values = [v for d in dimensions for v in (m.win_rates[d].value, *m.win_rates[d].interval)]
        seconds = [v for d in doubled for v in (m.held_out[d].value, *m.held_out[d].interval)]
        numbers = [
            m.health.kl,
            m.health.perplexity,
            m.health.repetition,
            m.health.mean_tokens,
            m.health.finished,
        ]
        own = [m.weights.get(d, 0.0) for d in dimensions]
        writer.writerow([m.name, *own, *values, *numbers, str(m.on_front).lower(), *seconds])
    return text.getvalue()


def _measured(
    project: Project,
    mixed: Sequence[Mapping[str, float]],
    names: Sequence[str],
    used: Mapping[str, Champion | Tuned],
    most: int,
) -> list[Mixture]:
    """The base, then every mixture, with its win rates over the base."""
    params, sampling = project.params, project.params.respond.sampling
    require_able(project)  # before anything is decoded, which takes minutes
    asked = {d: c.judge for d, c in params.dimensions.items()}
    asked |= {d + HELD_OUT: c.held_out for d, c in params.dimensions.items() if c.held_out}
    judges = {name: load_with_origin(judge, project.root).judge for name, judge in asked.items()}
    prompts = validation_prompts(project, list(params.dimensions), most)
    guidance = {d: found.guidance for d, found in used.items()}
    contrasts: Guidance = "contrast" if "contrast" in guidance.values() else "sum"
    decoder = open_decoder(project, {d: trained_arm(project, d) for d in used}, contrasts)
    settings = [Setting(sampling.temperature, weights) for weights in ({}, *mixed)]
    tokenizer = load_tokenizer(project.base)
    with counting("front", len(settings) * len(prompts) * sampling.max_new_tokens, "tokens") as on_tokens:
        base, *answers = sweep(prompts, decoder, tokenizer, settings, sampling, guidance, on_tokens)
    even = Estimate(0.5, (0.5, 0.5), len(prompts))
    second = [name.removesuffix(HELD_OUT) for name in judges if name.endswith(HELD_OUT)]
    own, by_second = dict.fromkeys(used, even), dict.fromkeys(second, even)
    found = [Mixture("base", {}, own, by_second, text_health("base", base), False)]
    judged = {name: over_base(prompts, base, answers, judge) for name, judge in judges.items()}
    for i, (name, weights, rows) in enumerate(zip(names, mixed, answers, strict=True)):
        rates = {judge: by_mixture[i].win_rate for judge, by_mixture in judged.items()}
        held_out = {n.removesuffix(HELD_OUT): rate for n, rate in rates.items() if n.endswith(HELD_OUT)}
        own = {d: rates[d] for d in used}
        found.append(Mixture(name, weights, own, held_out, text_health("challenger", rows), False))
    on_front = non_dominated([[m.win_rates[d].value for d in used] for m in found])
    return [replace(m, on_front=is_on) for m, is_on in zip(found, on_front, strict=True)]


def _name(shares: Mapping[str, float]) -> str:
    """`positive alone`, or `0.25 positive + 0.75 plain`."""
    parts = {d: share for d, share in shares.items() if share}
    return (
        f"{next(iter(parts))} alone"
        if len(parts) == 1
        else " + ".join(f"{s:.2g} {d}" for d, s in parts.items())
    )

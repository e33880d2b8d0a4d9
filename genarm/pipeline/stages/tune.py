"""The stage `tune`: an ARM and its validation prompts to the weight that it guides with."""

from dataclasses import replace

from genarm.evaluation import strength
from genarm.evaluation.shown_limits import text_faults
from genarm.evaluation.sweep import Setting, sweep
from genarm.evaluation.text_health import text_health
from genarm.models import load_tokenizer
from genarm.models.arm import adapter_hash
from genarm.pipeline.decoder import open_decoder, trained_arm
from genarm.pipeline.project import Project
from genarm.system.files import write_json, write_text
from genarm.system.progress import counting
from genarm.types import Tuned

JUDGE, HELD_OUT = "judge", "held-out judge"


def tune(project: Project, dimension: str) -> Tuned:
    """artifacts/arms/<dimension> -> artifacts/tune/<dimension>: the weight, and the curve it was chosen from.

    A number in `dimensions.<dimension>.weight` is the weight, and nothing is tried. Raises DataError where
    there is no validation prompt to try weights on.
    """
    layout, params = project.layout, project.params
    weight = params.dimensions[params.known(dimension)].weight
    adapter = adapter_hash(trained_arm(project, dimension))
    if isinstance(weight, str):
        tuned = _found(project, dimension)
    else:
        why = f"dimensions.{dimension}.weight in params.yaml"
        tuned = Tuned(weight, params.respond.guidance, "params.yaml", why)
    tuned = replace(tuned, adapter_sha256=adapter)
    write_json(layout.tuned(dimension), tuned)
    write_json(layout.tuned_strength(dimension), {"weight": tuned.weight, "guidance": tuned.guidance})
    write_text(layout.tuned_curve(dimension), strength.as_csv(tuned.curve))
    return tuned


def _found(project: Project, dimension: str) -> Tuned:
    """Answer the validation prompts with the base and at every weight, judge, and choose.

    Raises JudgeError where the held-out judge is the judge under another name.
    """
    # Loaded here, since a weight that stands in params.yaml asks no judge.
    from genarm.judges import load_with_origin
    from genarm.judges.apart import check_apart
    from genarm.judges.statistics import told
    from genarm.pipeline.validation import over_base, validation_prompts

    params = project.params
    config, sampling, kind = params.tune, params.respond.sampling, params.dimensions[dimension]
    check_apart(dimension, kind, project.root)
    prompts = validation_prompts(project, [dimension], config.prompts)
    configs = {JUDGE: kind.judge} | ({HELD_OUT: kind.held_out} if kind.held_out else {})
    loaded = {name: load_with_origin(judge, project.root) for name, judge in configs.items()}
    judges = {name: found.judge for name, found in loaded.items()}
    guidance = params.respond.guidance
    decoder = open_decoder(project, {dimension: trained_arm(project, dimension)}, guidance)
    tokenizer, temperature = load_tokenizer(project.base), sampling.temperature
    weights = sorted(set(config.weights))
    settings = [Setting(temperature, {dimension: w} if w else {}) for w in (0.0, *weights)]
    most = (len(settings) + 1) * len(prompts) * sampling.max_new_tokens
    with counting(f"tune {dimension}", most, "tokens") as on_tokens:
        base, *guided = sweep(prompts, decoder, tokenizer, settings, sampling, guidance, on_tokens)
        health = text_health("base", base)
        judged = over_base(prompts, base, guided, judges[JUDGE])
        points = [
            strength.guided_point(
                w,
                temperature,
                text_health("challenger", rows),
                found,
                config,
                text_faults(base, rows, config.max_health_ratio, config.min_finished_ratio),
            )
            for w, rows, found in zip(weights, guided, judged, strict=True)
        ]
        chosen = strength.choose(points)
        weight = chosen.weight if chosen else weights[0]
        control = Setting(strength.sharpened(temperature, weight))
        (rows,) = sweep(prompts, decoder, tokenizer, [control], sampling, "sum", on_tokens)
    (found,) = over_base(prompts, base, [rows], judges[JUDGE])
    own = text_health("challenger", rows)
    measured = [*points, strength.sharpened_point(weight, control.temperature, own, found)]
    if HELD_OUT in judges:
        seen = over_base(prompts, base, [*guided, rows], judges[HELD_OUT])
        measured = strength.with_held_out(measured, seen)
    if asked := told(judges):
        write_json(project.layout.judge_statistics(dimension, "tune"), asked)
    origin = strength.base_point(health, len(prompts), temperature, held_out=HELD_OUT in judges)
    return Tuned(
        weight=weight,
        guidance=guidance,
        source="validation",
        why=strength.explained(points, chosen),
        within_limits=chosen is not None,
        prompts=len(prompts),
        curve=[origin, *measured],
        judge=loaded[JUDGE].identity,
        held_out_judge=loaded[HELD_OUT].identity if HELD_OUT in loaded else None,
    )

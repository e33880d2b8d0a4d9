"""The stages `respond-base`, `respond` and `respond-champion`: the evaluation prompts to responses."""

import time
from pathlib import Path

from genarm.decoding import load_decoder
from genarm.errors import GenarmError
from genarm.evaluation.respond import respond as answer_prompts
from genarm.models import load_tokenizer
from genarm.pipeline.project import Fetch, Project
from genarm.system.files import write_json, write_rows
from genarm.system.progress import counting
from genarm.types import Guidance, Response, Side


def respond(project: Project, side: Side, dimension: str | None, fetch: Fetch) -> list[Response]:
    """Answer the evaluation prompts as base, challenger or champion; no rows where there is no champion.

    `fetch` gives the champion's folder and is called only where there is a champion.
    """
    layout, params, started = project.layout, project.params, time.monotonic()
    responses: list[Response] = []
    if side == "base":
        dimension = None  # one file for all
        responses = _answer(project, {}, {})
    elif dimension is None:
        first = next(iter(params.dimensions))
        raise GenarmError(f"genarm respond {side} needs a dimension", hint=f"genarm respond {side} {first}")
    elif side == "challenger":
        weight = params.dimensions[params.known(dimension)].weight
        if not layout.arm(dimension).is_dir():
            raise GenarmError(
                f"no ARM at {layout.arm(dimension)}", hint=f"train it first: genarm train {dimension}"
            )
        responses = _answer(
            project, {dimension: layout.arm(dimension)}, {dimension: weight}, params.respond.guidance
        )
    elif champion := project.champions().get(params.known(dimension)):
        folder = fetch(dimension, champion, layout.champion_arm(dimension))
        responses = _answer(project, {dimension: folder}, {dimension: champion.weight}, champion.guidance)
    write_rows(layout.responses(side, dimension), responses)
    if responses:
        seconds = time.monotonic() - started
        write_json(layout.respond_cost(side, dimension), {"seconds": round(seconds, 1)})
    return responses


def _answer(
    project: Project, folders: dict[str, Path], weights: dict[str, float], guidance: Guidance = "sum"
) -> list[Response]:
    base, sampling = project.base, project.params.respond.sampling
    decoder = load_decoder(
        base,
        folders,
        dtype=project.params.base.dtype,
        strategy=sampling.strategy,
        batch_size=sampling.batch_size,
        # The base answers alone before it is guided; then there is nothing that could draft.
        speculate=sampling.speculate and bool(folders),
        device_map=project.params.base.device_map,
        compiled=sampling.compiled,
        contrast=guidance == "contrast",
    )
    prompts = project.prompts()
    title = f"respond, guided by {', '.join(folders)}" if folders else "respond, unguided"
    with counting(title, len(prompts) * sampling.max_new_tokens, "tokens") as on_tokens:
        return answer_prompts(
            prompts,
            decoder,
            load_tokenizer(base),
            weights=weights,
            sampling=sampling,
            guidance=guidance,
            on_tokens=on_tokens,
        )

"""The stages `respond-base`, `respond` and `respond-champion`: the evaluation prompts to responses."""

import time
from pathlib import Path

from genarm.errors import GenarmError
from genarm.evaluation.respond import respond as answer_prompts
from genarm.models import load_tokenizer
from genarm.pipeline.decoder import open_decoder, trained_arm
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
        folder, tuned = trained_arm(project, params.known(dimension)), project.tuned(dimension)
        responses = _answer(project, {dimension: folder}, {dimension: tuned.weight}, tuned.guidance)
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
    sampling = project.params.respond.sampling
    decoder = open_decoder(project, folders, guidance)
    prompts = project.prompts()
    title = f"respond, guided by {', '.join(folders)}" if folders else "respond, unguided"
    with counting(title, len(prompts) * sampling.max_new_tokens, "tokens") as on_tokens:
        return answer_prompts(
            prompts,
            decoder,
            load_tokenizer(project.base),
            weights=weights,
            sampling=sampling,
            guidance=guidance,
            on_tokens=on_tokens,
        )

"""The stages `respond-base`, `respond` and `respond-champion`: the evaluation prompts to responses."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from genarm.decoding import GuidedDecoder
from genarm.errors import GenarmError
from genarm.evaluation.respond import respond as answer_prompts
from genarm.models import load_tokenizer
from genarm.models.arm import adapter_hash
from genarm.pipeline.answering.identity import identity
from genarm.pipeline.answering.listing import Wanted
from genarm.pipeline.answering.remote import answer_remotely
from genarm.pipeline.decoder import open_decoder, trained_arm
from genarm.pipeline.kept import code, kept
from genarm.pipeline.looks import batches
from genarm.pipeline.project import Fetch, Project
from genarm.system.files import write_json, write_rows
from genarm.system.progress import counting
from genarm.types import Guidance, Prompt, Response, Side

# What an answer depends on.
CODE = (
    *("decoding", "models", "evaluation/respond.py", "types"),
    *("pipeline/answering", "pipeline/decoder.py"),
)


def respond(project: Project, side: Side, dimension: str | None, fetch: Fetch) -> list[Response]:
    """Answer the evaluation prompts as base, challenger or champion; no rows where there is no champion.

    `fetch` gives the champion's folder and is called only where there is a champion.
    """
    layout, params, started = project.layout, project.params, time.monotonic()
    responses: list[Response] = []
    if side == "base":
        dimension = None  # one file for all
        responses = _answer(project, side, {}, {}, None)
    elif dimension is None:
        first = next(iter(params.dimensions))
        raise GenarmError(f"genarm respond {side} needs a dimension", hint=f"genarm respond {side} {first}")
    elif side == "challenger":
        folder, tuned = trained_arm(project, params.known(dimension)), project.tuned(dimension)
        weights = {dimension: tuned.weight}
        responses = _answer(project, side, {dimension: folder}, weights, dimension, tuned.guidance)
    elif champion := project.incumbents().get(params.known(dimension)):
        folder = fetch(dimension, champion, layout.champion_arm(dimension))
        weights = {dimension: champion.weight}
        responses = _answer(project, side, {dimension: folder}, weights, dimension, champion.guidance)
    write_rows(layout.responses(side, dimension), responses)
    cost = layout.respond_cost(side, dimension)
    if len(project.looks(dimension)) > 1:
        cost.unlink(missing_ok=True)  # these seconds are of the last batch alone
    elif responses:
        write_json(cost, {"seconds": round(time.monotonic() - started, 1)})
    return responses


def _answer(
    project: Project,
    side: Side,
    folders: dict[str, Path],
    weights: dict[str, float],
    dimension: str | None,
    guidance: Guidance = "sum",
) -> list[Response]:
    """Answer batch by batch, which is all at once where a run decides once.

    Answers of servers are kept one by one until others take their place, those of the built-in engine by the
    batch where further looks may follow.
    """
    base, sampling, engine = project.base, project.params.respond.sampling, project.params.respond.engine
    hashes = {name: adapter_hash(folder) for name, folder in folders.items()}
    depends_on = {
        "base": [base.weights_sha256, base.tokenizer_sha256, project.params.base],
        "respond": project.params.respond.model_dump(exclude={"prompts", "guidance", "engine"}),
        "arms": hashes,
        "weights": weights,
        "guidance": guidance,
        "code": code(*CODE),
    }

    @cache
    def decoder() -> GuidedDecoder:
        return open_decoder(project, folders, guidance)

    def answer(prompts: Sequence[Prompt]) -> list[Response]:
        if engine:
            wanted = Wanted(identity(project))
            for name, sha256 in hashes.items():  # at most one
                wanted = replace(wanted, dimension=name, adapter_sha256=sha256, weight=weights[name])
            wanted = replace(wanted, guidance=guidance)
            return answer_remotely(project, prompts, wanted, "-".join([side, *folders]), depends_on)
        title = f"respond, guided by {', '.join(folders)}" if folders else "respond, unguided"
        with counting(title, len(prompts) * sampling.max_new_tokens, "tokens") as on_tokens:
            return answer_prompts(
                prompts,
                decoder(),
                load_tokenizer(base),
                weights=weights,
                sampling=sampling,
                guidance=guidance,
                on_tokens=on_tokens,
            )

    if not project.looks(dimension):
        return answer(project.prompts(dimension))
    return [
        response
        for batch in batches(project, dimension)
        for response in kept(
            project,
            "responses",
            {**depends_on, "prompts": [p.id for p in batch]},
            Response,
            partial(answer, batch),
        )
    ]

"""The stages `respond-*` where the champion may be best of n, which the stage itself does not know.

What it is made of, `genarm/baselines`, is among the dependencies of no stage: an ARM as the champion needs
none of it. So DVC does not see where that code changes; `docs/operations.md` says what to do.
"""

import time
from functools import cache, partial

from genarm.decoding import GuidedDecoder
from genarm.evaluation.respond import respond as answer_prompts
from genarm.models import load_tokenizer
from genarm.models.arm import read_card
from genarm.pipeline.kept import code, kept
from genarm.pipeline.looks import batches
from genarm.pipeline.project import Fetch, Project
from genarm.pipeline.served import best_of, open_served
from genarm.pipeline.stages import respond as stage
from genarm.system.files import write_json, write_rows
from genarm.system.progress import counting
from genarm.types import Champion, Prompt, Response, Side

CODE = (*stage.CODE, "baselines", "judges", "pipeline/respond_best_of.py")


def respond(project: Project, side: Side, dimension: str | None, fetch: Fetch) -> list[Response]:
    """Answer the evaluation prompts, as the stage does; also where a best of n is the champion.

    Raises what the stage raises, and JudgeError for a score that is no number.
    """
    champion = project.incumbents().get(dimension) if side == "champion" and dimension else None
    if champion is None or dimension is None:
        return stage.respond(project, side, dimension, fetch)
    folder = fetch(dimension, champion, project.layout.champion_arm(dimension))
    if best_of(folder) is None:
        return stage.respond(project, side, dimension, fetch)
    started = time.monotonic()
    responses = _answers(project, dimension, champion)
    write_rows(project.layout.responses(side, dimension), responses)
    cost = project.layout.respond_cost(side, dimension)
    if len(project.looks(dimension)) > 1:
        cost.unlink(missing_ok=True)  # these seconds are of the last batch alone
    else:
        write_json(cost, {"seconds": round(time.monotonic() - started, 1)})
    return responses


def _answers(project: Project, dimension: str, champion: Champion) -> list[Response]:
    """The responses batch by batch; those of earlier looks are kept, as those of ARMs are."""
    folder, sampling = project.layout.champion_arm(dimension), project.params.respond.sampling
    found, weights = best_of(folder), {dimension: champion.weight}

    @cache
    def decoder() -> GuidedDecoder:
        return open_served(
            project.base,
            {dimension: folder},
            dtype=project.params.base.dtype,
            batch_size=sampling.batch_size,
            device_map=project.params.base.device_map,
        )

    def answer(prompts: list[Prompt]) -> list[Response]:
        most = (found.n if found else 1) * len(prompts) * sampling.max_new_tokens
        with counting(f"respond, {found}", most, "tokens") as on_tokens:
            return answer_prompts(
                prompts,
                decoder(),
                load_tokenizer(project.base),
                weights=weights,
                sampling=sampling,
                on_tokens=on_tokens,
            )

    if not project.looks(dimension):
        return answer(project.prompts(dimension))
    depends_on = {
        "base": [project.base.weights_sha256, project.base.tokenizer_sha256, project.params.base],
        "respond": project.params.respond.model_dump(exclude={"prompts", "guidance"}),
        "best of n": read_card(folder).adapter_sha256,
        "code": code(*CODE),
    }
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

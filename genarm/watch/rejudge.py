"""A champion and the base answer the same prompts again, and the dimension's judge compares them."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from genarm.data.prompts import read_prompts
from genarm.errors import ConfigError
from genarm.evaluation.respond import respond
from genarm.evaluation.win_rate import win_rate
from genarm.judges import judge, load_with_origin
from genarm.models import load_tokenizer
from genarm.pipeline.project import Project
from genarm.pipeline.registry_fetch import fetch_version
from genarm.pipeline.served import best_of, open_served
from genarm.system.files import read_rows
from genarm.types import Champion, Comparison, Prompt


def all_prompts(project: Project) -> list[Prompt]:
    """All prompts that nights draw from, each once.

    Raises DataError where there are none, ConfigError where they do not last for `watch.nights` nights.
    """
    config, layout = project.params.watch, project.layout
    if config.file:
        found, where = read_prompts(project.root / config.file, config.file), config.file
    else:
        found, where = read_rows(layout.prompts, Prompt), "the evaluation split"
    each = list({prompt.id: prompt for prompt in found}.values())
    wanted = (config.prompts or 0) * config.nights
    if len(each) < wanted:
        raise ConfigError(
            f"watch.prompts x watch.nights = {wanted}, and {where} has {len(each)} prompts: "
            "within the nights that are taken together no prompt may come twice",
            hint="lower one of them, or name a larger watch.file",
        )
    return each


def of_night(prompts: Sequence[Prompt], number: int, nights: int, most: int) -> list[Prompt]:
    """The prompts of a night by its number: at most so many, drawn from every `nights`-th of all prompts.

    Which nights a prompt may come on depends on its id alone. So it never comes twice within `nights` nights,
    though there be other prompts each night, as new data brings. A night may have fewer than it asks for.
    """
    turn = sorted((p for p in prompts if _turn(p, nights) == number % nights), key=lambda p: p.id)
    Random(number).shuffle(turn)
    return turn[:most]


def _turn(prompt: Prompt, nights: int) -> int:
    return int.from_bytes(hashlib.sha256(prompt.id.encode()).digest()[:8], "big") % nights


def measure(
    project: Project, dimension: str, champion: Champion, prompts: Sequence[Prompt], number: int
) -> Comparison:
    """The champion against the base on these prompts, with draws that are another night's for no other night.

    Raises JudgeError, AdapterError and ModelError as the stages do.
    """
    folder = fetch_version(project, dimension, champion, project.root / ".cache" / "watch" / dimension)
    config, tokenizer = project.params, load_tokenizer(project.base)
    sampling = config.respond.sampling
    sampling = sampling.model_copy(update={"seed": sampling.seed + 1 + number})
    decoder = open_served(
        project.base,
        {dimension: folder},
        dtype=config.base.dtype,
        batch_size=sampling.batch_size,
        device_map=config.base.device_map,
        contrast=champion.guidance == "contrast" and best_of(folder) is None,
    )
    alone = respond(prompts, decoder, tokenizer, weights={}, sampling=sampling)
    weights = {dimension: champion.weight}
    guided = respond(
        prompts, decoder, tokenizer, weights=weights, sampling=sampling, guidance=champion.guidance
    )
    loaded = load_with_origin(config.dimensions[dimension].judge, project.root)
    verdicts = judge(prompts, {"base": alone, "champion": guided}, {dimension: loaded.judge})
    return win_rate([replace(verdict, judge=loaded.identity) for verdict in verdicts])

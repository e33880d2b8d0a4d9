"""The unit `speed-*`: seconds for 128 tokens, tokens that each model reads for one, and memory."""

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from genarm.decoding import GuidedRequest
from genarm.evaluation.respond import prompt_ids, prompt_seed, request
from genarm.experiments.answer import open_method
from genarm.experiments.config import SpeedConfig
from genarm.experiments.load import Experiment
from genarm.experiments.tuned import Chosen
from genarm.system.files import read_json, read_rows, write_json
from genarm.types import Prompt

if TYPE_CHECKING:
    from genarm.baselines.method import Method

TOKENS = 128  # that seconds are given for


@dataclass(frozen=True, slots=True)
class Speed:
    """`seconds`: batch -> seconds that one response of 128 tokens takes.

    `passes`: part -> tokens that it reads for one that is drawn, counted; `predicted`: by definition.
    `memory` is the most that the process held, in bytes.
    """

    seconds: Mapping[int, float]
    passes: Mapping[str, float] = field(default_factory=dict)
    predicted: Mapping[str, float] = field(default_factory=dict)
    memory: int = 0


def speed(experiment: Experiment, row: str) -> None:
    """Time responses of a fixed length, which ignore end tokens, in batches of each size."""
    place, config, own = experiment.place, experiment.config, experiment.config.methods[row]
    given = own.speed or config.speed
    assert given is not None, "the unit is only made where speed is measured"
    chosen = read_json(place.tuned(row), Chosen) if experiment.is_tuned(row) else None
    if chosen and chosen.refused:
        write_json(place.speed(row), Speed({}))
        return
    settings = experiment.shown_settings(row, chosen.settings if chosen else None)
    method = open_method(experiment, row, config.seeds[0], settings, measured=False)
    prompts = read_rows(place.prompts, Prompt)
    requests = [_request(experiment, method, p, given) for p in _repeated(prompts, max(given.batches))]
    method.generate([replace(requests[0], max_new_tokens=2)])  # what is loaded on first use is not timed
    seconds = {}
    for batch in given.batches:
        began = time.monotonic()
        method.generate(requests[:batch])
        took = (time.monotonic() - began) / batch
        seconds[batch] = round(took * TOKENS / given.tokens, 4)
    found = Speed(
        seconds, passes_a_token(method, requests[0]), experiment.method(row).predicted(settings), _memory()
    )
    write_json(place.speed(row), found)


def passes_a_token(method: "Method", asked: GuidedRequest) -> dict[str, float]:
    """Tokens that each part reads for one more that is drawn: a longer response less a shorter one.

    So what reading the prompt costs is not in it.
    """
    short, long = max(1, asked.max_new_tokens // 4), asked.max_new_tokens
    counted = []
    for tokens in (short, long):
        before = dict(method.passes)
        (answer,) = method.generate([replace(asked, max_new_tokens=tokens)])
        read = {part: n - before.get(part, 0) for part, n in method.passes.items()}
        counted.append((len(answer.tokens), read))
    (fewer, first), (more, second) = counted
    if more == fewer:
        return {}
    return {part: round((n - first.get(part, 0)) / (more - fewer), 4) for part, n in second.items()}


def _request(experiment: Experiment, method: "Method", prompt: Prompt, given: SpeedConfig) -> GuidedRequest:
    sampling = experiment.config.sampling.model_copy(update={"max_new_tokens": given.tokens})
    ids = prompt_ids(prompt, method, sampling)
    asked = request(ids, {}, sampling, prompt_seed(sampling.seed, prompt))
    return replace(asked, ignore_eos=True)


def _repeated(prompts: Sequence[Prompt], n: int) -> list[Prompt]:
    """`n` prompts, some of them again where there are fewer."""
    return [prompts[i % len(prompts)] for i in range(n)]


def _memory() -> int:
    """The most memory of this process: of the GPU where there is one, else resident, in bytes."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)

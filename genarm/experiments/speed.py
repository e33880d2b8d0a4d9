"""The unit `speed-*`: seconds for 128 tokens, tokens that each model reads for one, and memory.

    seconds = t1 + (128 - T1) (t2 - t1) / (T2 - T1)

t1 and t2 are what responses of T1 and T2 tokens take, so reading the prompt counts once, however few tokens
are drawn. Both are timed several times in turn with the base, after a warm-up; the medians are taken. Other
work on the machine then slows both, and what a row takes in times of the base compares between units.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

from genarm.decoding import GuidedRequest
from genarm.evaluation.respond import prompt_ids, prompt_seed, request
from genarm.experiments.answer import open_method
from genarm.experiments.config import BASE
from genarm.experiments.load import Experiment
from genarm.experiments.memory import forget_peak, peak
from genarm.experiments.passes import predicted
from genarm.experiments.row_config import SpeedConfig
from genarm.experiments.tuned import Chosen
from genarm.system.files import read_json, read_rows, write_json
from genarm.types import Prompt

if TYPE_CHECKING:
    from genarm.baselines.method import Method

TOKENS = 128  # that seconds are given for


@dataclass(frozen=True, slots=True)
class Speed:
    """`seconds`: batch -> seconds that one response of 128 tokens takes, the median of the repeats.

    `of_base`: batch -> how many times the base's seconds that is, for each repeat. `passes`: part -> tokens
    that it reads for one that is drawn, counted; `predicted`: by definition. `memory`: batch -> the most that
    the process held while it answered, in bytes, without the base that it is timed beside.
    """

    seconds: Mapping[int, float]
    of_base: Mapping[int, Sequence[float]]
    passes: Mapping[str, float] = field(default_factory=dict)
    predicted: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[int, int] = field(default_factory=dict)


def speed(experiment: Experiment, row: str) -> None:
    """Time responses of fixed lengths, which ignore end tokens, in batches of each size."""
    place = experiment.place
    given = experiment.config.speed_of(row)
    assert given is not None, "the unit is only made where speed is measured"
    chosen = read_json(place.tuned(row), Chosen) if experiment.is_tuned(row) else None
    if chosen and chosen.refused:
        write_json(place.speed(row), Speed({}, {}))
        return
    settings = experiment.shown_settings(row, chosen.settings if chosen else None)
    method = _open(experiment, row, settings)
    prompts = read_rows(place.prompts, Prompt)
    requests = [_request(experiment, method, p, given) for p in _repeated(prompts, max(given.batches))]
    method.generate([replace(requests[0], max_new_tokens=2)])  # what is loaded on first use is not timed
    forget_peak()
    memory = {}
    for batch in sorted(given.batches):  # so each peak is that of its own batch; it warms up, too
        method.generate(requests[:batch])
        memory[batch] = peak()
    passes = passes_a_token(method, requests[0])
    base = method if row == BASE else _open(experiment, BASE, {})
    seconds, of_base = {}, {}
    for batch in given.batches:
        own_times, base_times = timed(method.generate, base.generate, requests[:batch], given.repeats)
        seconds[batch] = round(median(own_times), 4)
        of_base[batch] = [round(t / b, 4) for t, b in zip(own_times, base_times, strict=True)]
    found = Speed(seconds, of_base, passes, predicted(experiment, row, settings), memory)
    write_json(place.speed(row), found)


Generate = Callable[[Sequence[GuidedRequest]], object]


def timed(
    method: Generate, base: Generate, requests: Sequence[GuidedRequest], repeats: int
) -> tuple[list[float], list[float]]:
    """Seconds for 128 tokens of one response by a method and by the base, a number for each repeat.

    Both are asked for a warm-up first, then for either length in turn.
    """
    tokens = requests[0].max_new_tokens
    lengths = max(1, tokens // 4), tokens
    asked = [[replace(r, max_new_tokens=length) for r in requests] for length in lengths]
    every = [method] if method == base else [method, base]
    for generate in every:
        generate(asked[0])
    found: list[list[float]] = [[] for _ in every]
    for _ in range(repeats):
        for generate, times in zip(every, found, strict=True):
            took = []
            for some in asked:
                began = time.monotonic()
                generate(some)
                took.append((time.monotonic() - began) / len(requests))
            times.append(extrapolated(lengths, took))
    return found[0], found[-1]


def extrapolated(lengths: Sequence[int], took: Sequence[float], tokens: int = TOKENS) -> float:
    """Seconds for `tokens` from those for two lengths: reading the prompt once, and a step a token."""
    (shorter, longer), (first, second) = lengths, took
    step = max(0.0, (second - first) / (longer - shorter))  # below 0 by chance alone
    return first + (tokens - shorter) * step


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


def _open(experiment: Experiment, row: str, settings: Mapping[str, object]) -> "Method":
    return open_method(experiment, row, experiment.config.seeds[0], settings, measured=False)


def _request(experiment: Experiment, method: "Method", prompt: Prompt, given: SpeedConfig) -> GuidedRequest:
    sampling = experiment.config.sampling.model_copy(update={"max_new_tokens": given.tokens})
    ids = prompt_ids(prompt, method, sampling)
    asked = request(ids, {}, sampling, prompt_seed(sampling.seed, prompt))
    return replace(asked, ignore_eos=True)


def _repeated(prompts: Sequence[Prompt], n: int) -> list[Prompt]:
    """`n` prompts, some of them again where there are fewer."""
    return [prompts[i % len(prompts)] for i in range(n)]

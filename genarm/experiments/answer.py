"""The units `answer-*` and `validation-base`: prompts to responses of one row, with what they took."""

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.decoding import GuidedRequest
from genarm.errors import ModelError
from genarm.evaluation.respond import prompt_ids, prompt_seed, request, response_of
from genarm.experiments.load import Experiment
from genarm.experiments.methods import METHODS, Context
from genarm.experiments.tuned import Chosen
from genarm.experiments.units import model_folder
from genarm.models import load_tokenizer
from genarm.pipeline.kept import kept
from genarm.pipeline.project import Project
from genarm.system.files import read_json, read_rows, sha256, write_json, write_rows
from genarm.system.progress import counting
from genarm.types import Prompt, Response

if TYPE_CHECKING:
    from genarm.baselines.method import Method
    from genarm.decoding import GuidedDecoder

BATCHES_KEPT = 4  # so many batches of responses are kept together: what a kill costs at most


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of one row; `point` is the one of its front, 0 where it has none."""

    point: int
    response: Response


@dataclass(frozen=True, slots=True)
class Cost:
    """What the responses of one row took; `passes` are tokens that each part read, prompts included."""

    prompts: int
    tokens: int
    seconds: float
    passes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the responses, as they are kept until all are there."""

    responses: Sequence[Response]
    seconds: float
    passes: Mapping[str, int]


def answer(experiment: Experiment, row: str, seed: int, spec: Mapping[str, Any]) -> None:
    """The responses of a row whose models were trained with `seed`, at every point of its front.

    What a killed unit has answered is kept until all is written. Raises what the method raises.
    """
    place, own = experiment.place, experiment.config.methods[row]
    prompts = read_rows(place.prompts, Prompt)[: own.prompts]
    chosen = read_json(place.tuned(row), Chosen) if experiment.is_tuned(row) else Chosen({}, True, ())
    answers: list[Answer] = []
    refused = chosen.refused is not None  # nothing meets its constraint
    cost = Cost(0 if refused else len(prompts), 0, 0.0)
    for number, point in enumerate([] if refused else experiment.points(row)):
        settings = experiment.row_settings(row, dict(chosen.settings) | point)
        depends_on = {
            **spec,
            "point": settings,
            "seed": seed,
            "models": model_hashes(experiment, row, seed),
            "validation": sha256(place.validation),  # by which CARDS finds the reward that it aims at
        }
        parts = answered(experiment, row, seed, settings, prompts, depends_on)
        answers += [Answer(number, response) for part in parts for response in part.responses]
        cost = _added(cost, parts)
    write_rows(place.answers(row, seed), answers)
    write_json(place.cost(row, seed), cost)
    shutil.rmtree(place.kept(row, seed), ignore_errors=True)


def answer_validation(experiment: Experiment) -> None:
    """The base's responses to the validation prompts, which settings are compared with."""
    prompts = read_rows(experiment.place.validation, Prompt)
    method = open_method(experiment, "base", 0, {})  # the base is trained by nobody
    write_rows(experiment.place.base_on_validation, responses(experiment, method, prompts))


def answered(
    experiment: Experiment,
    row: str,
    seed: int,
    settings: Mapping[str, Any],
    prompts: Sequence[Prompt],
    depends_on: Mapping[str, Any],
) -> list[_Part]:
    """The responses in parts, each kept as soon as it is there; the method is loaded where one is lacking."""
    opened: list[Method] = []

    def make(some: Sequence[Prompt]) -> list[_Part]:
        if not opened:
            opened.append(open_method(experiment, row, seed, settings))
        before, began = Counter(opened[0].passes), time.monotonic()
        found = responses(experiment, opened[0], some, f"{row}, seed {seed}")
        seconds = time.monotonic() - began
        return [_Part(found, seconds, dict(Counter(opened[0].passes) - before))]

    own = Project(experiment.place.kept(row, seed))  # for its folder alone
    size = BATCHES_KEPT * experiment.config.sampling.batch_size
    groups = [prompts[i : i + size] for i in range(0, len(prompts), size)]
    return [
        part
        for group in groups
        for part in kept(
            own,
            "compare",
            {**depends_on, "prompts": [p.id for p in group]},
            _Part,
            partial(make, group),
        )
    ]


def open_method(
    experiment: Experiment, row: str, seed: int, settings: Mapping[str, Any], *, measured: bool = True
) -> "Method":
    """The method of a row, loaded, with the models that were trained with `seed`."""
    context = Context(
        base=experiment.base,
        dtype=experiment.base_config.dtype,
        batch_size=experiment.config.sampling.batch_size,
        models={name: model_folder(experiment, name, seed) for name in experiment.models_of(row)},
        validation=partial(_validation, experiment),
        measured=measured,
        root=experiment.place.root,
    )
    return METHODS[experiment.config.methods[row].method].make(context, settings)


def responses(
    experiment: Experiment, method: "Method", prompts: Sequence[Prompt], title: str = "base"
) -> list[Response]:
    """One response to each prompt, drawn as the experiment says: all rows draw the same random numbers."""
    sampling, tokenizer = experiment.config.sampling, load_tokenizer(experiment.base)
    most = len(prompts) * sampling.max_new_tokens * getattr(method, "n", 1)  # best of n draws n times as many
    with counting(title, most, "tokens") as on_tokens:
        answers = method.generate([_request(experiment, method, p) for p in prompts], on_tokens)
    return [response_of(p, answer, tokenizer) for p, answer in zip(prompts, answers, strict=True)]


def _request(experiment: Experiment, method: "GuidedDecoder", prompt: Prompt) -> GuidedRequest:
    sampling = experiment.config.sampling
    ids = prompt_ids(prompt, method, sampling)
    return request(ids, {}, sampling, prompt_seed(sampling.seed, prompt))


def _validation(experiment: Experiment, decoder: "GuidedDecoder") -> list[GuidedRequest]:
    """The validation prompts as requests."""
    prompts = read_rows(experiment.place.validation, Prompt)
    return [_request(experiment, decoder, prompt) for prompt in prompts]


def _added(cost: Cost, parts: Sequence[_Part]) -> Cost:
    passes = Counter(cost.passes)
    for part in parts:
        passes.update(part.passes)
    return Cost(
        prompts=cost.prompts,
        tokens=cost.tokens + sum(r.tokens for part in parts for r in part.responses),
        seconds=round(cost.seconds + sum(part.seconds for part in parts), 3),
        passes=dict(passes),
    )


def model_hashes(experiment: Experiment, row: str, seed: int) -> dict[str, str]:
    """What tells the models of a row from earlier ones, so that no kept response is of another model."""
    return {name: _stamp(model_folder(experiment, name, seed)) for name in experiment.models_of(row)}


def _stamp(folder: Path) -> str:
    """A hash over all files of a model's folder. Raises ModelError where there is none."""
    if not folder.is_dir():
        raise ModelError(
            f"there is no model at {folder}", hint="name its folder in experiment.yaml, or make it"
        )
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return hashlib.sha256("".join(f"{f.relative_to(folder)}:{sha256(f)}" for f in files).encode()).hexdigest()

"""The unit `judge-*`: the responses of one row to scores, and to preferences over the rows of `over`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from genarm.experiments.answer import Answer
from genarm.experiments.config import GOLD, HELD_OUT
from genarm.experiments.judge_content import shown_identity
from genarm.experiments.load import Experiment
from genarm.judges import Judge, load_with_origin
from genarm.judges.base import PreparedJudge, ScoreJudge, preference
from genarm.system.files import read_rows, write_rows
from genarm.types import Prompt, Response


@dataclass(frozen=True, slots=True)
class Judged:
    """One judge on one response of a row; `over` has its preference in [-1, 1] over each other row.

    A preference is None where the judge could not be read. `score` is there where the judge compares scores.
    """

    dimension: str
    judge: str  # gold or held_out
    seed: int
    point: int
    prompt_id: str
    score: float | None
    over: Mapping[str, float | None] = field(default_factory=dict)
    identity: str = ""  # who judged, in which version


def judge(experiment: Experiment, row: str) -> None:
    """Rate and compare the responses of a row, seed by seed, by every judge of every dimension."""
    place, config = experiment.place, experiment.config
    prompts = {prompt.id: prompt for prompt in read_rows(place.prompts, Prompt)}
    others = [other for other in config.over if other != row]
    found: list[Judged] = []
    for dimension, judges in config.judges.items():
        for name, given in ((GOLD, judges.gold), (HELD_OUT, judges.held_out)):
            if given is not None:
                loaded = load_with_origin(given, place.root)
                who = shown_identity(loaded.identity, given)
                for seed in experiment.seeds(row):
                    said = _judged(experiment, prompts, row, seed, others, dimension, name, loaded.judge)
                    found += [replace(verdict, identity=who) for verdict in said]
    write_rows(place.verdicts(row), found)


def _judged(
    experiment: Experiment,
    prompts: Mapping[str, Prompt],
    row: str,
    seed: int,
    others: Sequence[str],
    dimension: str,
    name: str,
    judge: Judge,
) -> list[Judged]:
    own = read_rows(experiment.place.answers(row, seed), Answer)
    rivals = {other: _rival(experiment, other, seed) for other in others}
    compared = {
        other: {a.response.prompt_id: a.response for a in rows if a.point == experiment.shown_point(other)}
        for other, rows in rivals.items()
    }
    asked = [
        (prompts[a.response.prompt_id], a.response, answers[a.response.prompt_id])
        for answers in compared.values()
        for a in own
        if a.response.prompt_id in answers
    ]
    if isinstance(judge, PreparedJudge):
        alone = [(prompts[a.response.prompt_id], a.response, a.response) for a in own]
        judge.prepare(asked if asked else alone)
    return [
        Judged(
            dimension=dimension,
            judge=name,
            seed=seed,
            point=a.point,
            prompt_id=a.response.prompt_id,
            score=_score(judge, prompts[a.response.prompt_id], a.response),
            over={
                other: preference(
                    judge, prompts[a.response.prompt_id], a.response, answers[a.response.prompt_id]
                )
                for other, answers in compared.items()
                if a.response.prompt_id in answers
            },
        )
        for a in own
    ]


def _rival(experiment: Experiment, other: str, seed: int) -> list[Answer]:
    """The responses of another row by models of the same training seed; of its only one where it has one."""
    seeds = experiment.seeds(other)
    return read_rows(experiment.place.answers(other, seed if seed in seeds else seeds[0]), Answer)


def _score(judge: Judge, prompt: Prompt, response: Response) -> float | None:
    return judge.score(prompt, response.text) if isinstance(judge, ScoreJudge) else None

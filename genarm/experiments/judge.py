"""The unit `judge-*`: the responses of one row to scores, and to preferences over the rows of `over`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from genarm.experiments.answer import Answer
from genarm.experiments.config import GOLD, HELD_OUT
from genarm.experiments.judge_content import loaded_content, shown_identity
from genarm.experiments.load import Experiment
from genarm.experiments.scores import recall
from genarm.judges import Judge, load_with_origin
from genarm.judges.base import PreparedJudge, ScoreJudge, preference
from genarm.system.files import read_rows, write_rows
from genarm.types import Prompt, Response


@dataclass(frozen=True, slots=True)
class Judged:
    """One judge on one response of a row; `over` has its preference in [-1, 1] over each other row.

    A preference is None where the judge could not be read. `score` is there where the judge compares scores.
    A row that has one training seed is compared with all seeds of another row that has more: `over_seeds` has
    these preferences in the order of the seeds, the first of which is that of `over`.
    """

    dimension: str
    judge: str  # gold or held_out
    seed: int
    point: int
    prompt_id: str
    score: float | None
    over: Mapping[str, float | None] = field(default_factory=dict)
    over_seeds: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
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
                if isinstance(loaded.judge, ScoreJudge):
                    depends_on = loaded_content(loaded, given, place.root)
                    for scored in (row, *others):
                        seeds = experiment.seeds(scored)
                        recall(place, loaded.judge, depends_on, prompts, scored, seeds)
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
    if not own:
        return []  # nothing that was tried meets its constraint
    compared = {other: _rivals(experiment, row, other, seed) for other in others}
    asked = [
        (prompts[a.response.prompt_id], a.response, answers[a.response.prompt_id])
        for of_seeds in compared.values()
        for answers in of_seeds
        for a in own
        if a.response.prompt_id in answers
    ]
    if asked and isinstance(judge, PreparedJudge):
        judge.prepare(asked)
    found = []
    for a in own:
        prompt = prompts[a.response.prompt_id]
        over = {
            other: [preference(judge, prompt, a.response, answers[prompt.id]) for answers in of_seeds]
            for other, of_seeds in compared.items()
            if prompt.id in of_seeds[0]
        }
        found.append(
            Judged(
                dimension=dimension,
                judge=name,
                seed=seed,
                point=a.point,
                prompt_id=prompt.id,
                score=_score(judge, prompt, a.response),
                over={other: said[0] for other, said in over.items()},
                over_seeds={other: said for other, said in over.items() if len(said) > 1},
            )
        )
    return found


def _rivals(experiment: Experiment, row: str, other: str, seed: int) -> list[dict[str, Response]]:
    """The responses of another row by prompt: by models of the same training seed, or of its only one.

    Of each of its seeds where `row` has one alone: all of them are equally its rivals.
    """
    seeds = experiment.seeds(other)
    if len(experiment.seeds(row)) > 1:
        seeds = (seed,) if seed in seeds else seeds[:1]
    rows = [read_rows(experiment.place.answers(other, of), Answer) for of in seeds]
    point = experiment.shown_point(other)
    return [{a.response.prompt_id: a.response for a in answers if a.point == point} for answers in rows]


def _score(judge: Judge, prompt: Prompt, response: Response) -> float | None:
    return judge.score(prompt, response.text) if isinstance(judge, ScoreJudge) else None

"""What the units of an experiment wrote, as arrays over training seeds and prompts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from genarm.experiments.answer import Answer, Cost
from genarm.experiments.judge import Judged
from genarm.experiments.load import Experiment
from genarm.experiments.resampling import Array, matrix
from genarm.experiments.speed import Speed
from genarm.experiments.tuned import Chosen
from genarm.system.files import read_json, read_rows
from genarm.types import Prompt, Response


@dataclass(frozen=True)
class Measured:
    """One row as it was answered and judged, at the point that is shown unless another one is asked for."""

    experiment: Experiment
    row: str

    @property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds that it has."""
        return self.experiment.seeds(self.row)

    @cached_property
    def prompts(self) -> list[str]:
        """The ids of the prompts that it answered, in their order."""
        rows = read_rows(self.experiment.place.prompts, Prompt)
        return [prompt.id for prompt in rows][: self.experiment.config.methods[self.row].prompts]

    @cached_property
    def judged(self) -> list[Judged]:
        """What the judges said."""
        return read_rows(self.experiment.place.verdicts(self.row), Judged)

    @cached_property
    def answers(self) -> dict[int, list[Answer]]:
        """Its responses, by training seed."""
        place = self.experiment.place
        return {seed: read_rows(place.answers(self.row, seed), Answer) for seed in self.seeds}

    def responses(self, point: int | None = None) -> list[Response]:
        """The responses of all seeds at one point."""
        at = self._at(point)
        return [a.response for rows in self.answers.values() for a in rows if a.point == at]

    def outcomes(self, over: str, dimension: str, judge: str, point: int | None = None) -> Array:
        """Win 1, tie 1/2, loss 0 over another row [s, p]; NaN where the judge could not be read.

        A judge that prefers by degrees gives (1 + preference) / 2. The seeds are those of the row, or of the
        other one where that alone has several.
        """
        judged, theirs = self._of(dimension, judge, point), self.experiment.seeds(over)
        if any(over in j.over_seeds for j in judged):
            said = [
                (seed, j.prompt_id, _outcome(value))
                for j in judged
                for seed, value in zip(theirs, j.over_seeds.get(over, ()), strict=False)
            ]
            return matrix(said, theirs, self.prompts)
        return self._matrix((j.seed, j.prompt_id, _outcome(j.over.get(over))) for j in judged)

    def scores(self, dimension: str, judge: str, point: int | None = None) -> Array:
        """The judge's scores [s, p]; NaN throughout for a judge that only compares."""
        return self._matrix((j.seed, j.prompt_id, j.score) for j in self._of(dimension, judge, point))

    def lengths(self, point: int | None = None) -> Array:
        """Tokens of the responses [s, p]."""
        at = self._at(point)
        return self._matrix(
            (seed, a.response.prompt_id, float(a.response.tokens))
            for seed, rows in self.answers.items()
            for a in rows
            if a.point == at
        )

    @cached_property
    def cost(self) -> Cost:
        """What its responses took, over all seeds."""
        place, found = self.experiment.place, Counter[str]()
        costs = [read_json(place.cost(self.row, seed), Cost) for seed in self.seeds]
        for cost in costs:
            found.update(cost.passes)
        return Cost(
            costs[0].prompts, sum(c.tokens for c in costs), sum(c.seconds for c in costs), dict(found)
        )

    @cached_property
    def speed(self) -> Speed | None:
        """How long a response takes; None where it was not measured."""
        path = self.experiment.place.speed(self.row)
        wanted = self.experiment.config.methods[self.row].speed or self.experiment.config.speed
        return read_json(path, Speed) if wanted else None

    @cached_property
    def chosen(self) -> Chosen | None:
        """What tuning has chosen; None where nothing was tuned."""
        if not self.experiment.is_tuned(self.row):
            return None
        return read_json(self.experiment.place.tuned(self.row), Chosen)

    @property
    def refused(self) -> bool:
        """Whether it answered nothing, since nothing that was tried meets its constraint."""
        return self.chosen is not None and self.chosen.refused is not None

    def _at(self, point: int | None) -> int:
        return self.experiment.shown_point(self.row) if point is None else point

    def _of(self, dimension: str, judge: str, point: int | None) -> list[Judged]:
        wanted = dimension, judge, self._at(point)
        return [j for j in self.judged if (j.dimension, j.judge, j.point) == wanted]

    def _matrix(self, rows: Iterable[tuple[int, str, float | None]]) -> Array:
        return matrix(list(rows), self.seeds, self.prompts)


def _outcome(preference: float | None) -> float | None:
    return None if preference is None else (1 + preference) / 2


def common(arrays: Sequence[tuple[Sequence[str], Array]]) -> list[Array]:
    """Arrays over prompts, cut to the prompts that all of them have; each comes with its prompts' ids."""
    shared = set(arrays[0][0]).intersection(*(ids for ids, _ in arrays[1:]))
    return [array[..., np.array([i in shared for i in ids], dtype=bool)] for ids, array in arrays]


def distinct_2(responses: Sequence[Response]) -> float:
    """Distinct word pairs over all word pairs of the responses together; 1 where there is none.

    Words are split at white space and compared in lower case. It falls as texts grow, so it compares rows
    that answered equally many prompts. (Li et al., NAACL 2016)
    """
    pairs = [pair for r in responses for words in [r.text.lower().split()] for pair in pairwise(words)]
    return len(set(pairs)) / len(pairs) if pairs else 1.0

"""By what best-of-n chooses: a judge that scores, a reward model, or the ARM's own likelihood."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from genarm.baselines.counting import Meter
from genarm.baselines.reading import read_responses
from genarm.baselines.reward_model import RewardModel
from genarm.baselines.reward_rows import RewardRows
from genarm.decoding import GuidedRequest, GuidedResponse
from genarm.decoding.engine.engine import Engine
from genarm.decoding.runner.ensemble import Start
from genarm.errors import ConfigError, JudgeError
from genarm.judges.base import Judge, ScoreJudge
from genarm.judges.reward.scorer import RewardScorer
from genarm.types import Prompt, Response


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response that was drawn for a request, and which of the n it is, from 0."""

    request: GuidedRequest
    response: GuidedResponse
    number: int


ConversationOf = Callable[[tuple[int, ...]], Prompt]  # the messages that a prompt's tokens were made of


class Selector(Protocol):
    """Rates candidates; the one with the largest score is chosen."""

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens that its models read, by part."""

    def scores(self, candidates: Sequence[Candidate], conversation: ConversationOf) -> list[float]:
        """A score of each candidate, in their order. `conversation` gives a prompt's messages.

        Raises JudgeError, with the prompt and the number of the candidate, for what is no number.
        """


class ByJudge:
    """The score of a judge. Raises ConfigError for a judge that only compares."""

    def __init__(self, judge: Judge) -> None:
        if not isinstance(judge, ScoreJudge):
            raise ConfigError(
                f"best_of_n chooses by a score, and {type(judge).__name__} only compares two responses",
                hint="take a scorer, a reward model, or a judge with a method score(prompt, response)",
            )
        self._judge = judge
        self.passes: Mapping[str, int] = {}

    def scores(self, candidates: Sequence[Candidate], conversation: ConversationOf) -> list[float]:
        """The judge's scores, in one call where it scores in batches."""
        asked = [
            (conversation(c.request.prompt), _as_response(conversation(c.request.prompt), c.response))
            for c in candidates
        ]
        with contextlib.suppress(JudgeError):  # one by one, below, it is known which one it fails on
            self._judge.prepare([(prompt, response, response) for prompt, response in asked])
        found = []
        for candidate, (prompt, response) in zip(candidates, asked, strict=True):
            try:
                found.append(self._judge.score(prompt, response.text))
            except JudgeError as error:
                raise JudgeError(
                    f"candidate {candidate.number} of prompt {prompt.id}: {error.message}", hint=error.hint
                ) from error
        return found


class ByRewardModel:
    """The score of a reward model, which reads each prompt with its response."""

    def __init__(self, scorer: RewardScorer) -> None:
        self._scorer = scorer
        self._meter = Meter(lambda: {"reward": scorer.tokens_read})

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens that the reward model read, as `reward`."""
        return self._meter.read

    def scores(self, candidates: Sequence[Candidate], conversation: ConversationOf) -> list[float]:
        """The model's scores. Raises JudgeError for one that is no number."""
        prompts = [conversation(c.request.prompt) for c in candidates]
        with self._meter.running():
            found = self._scorer.score_all(prompts, [c.response.text for c in candidates])
        for candidate, prompt, score in zip(candidates, prompts, found, strict=True):
            if not np.isfinite(score):
                raise _no_number(score, "the reward model", candidate, f"prompt {prompt.id}")
        return found


class ByCachedReward:
    """The score of a reward model with the base's tokens, which reads each prompt once for its candidates.

    It reads the tokens as they were drawn: of a response that a stop string ended, that string as well.
    """

    def __init__(self, reward: RewardModel, ends: Collection[int], rows: int = 8) -> None:
        self._reward, self._ends, self._rows = reward, frozenset(ends), rows
        self._read = 0

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens that the reward model read, as `reward`."""
        return {"reward": self._read} if self._read else {}

    def scores(self, candidates: Sequence[Candidate], conversation: ConversationOf) -> list[float]:
        """The model's scores. Raises JudgeError for one that is no number."""
        by_prompt: dict[tuple[int, ...], list[int]] = {}
        for i, candidate in enumerate(candidates):
            by_prompt.setdefault(candidate.request.prompt, []).append(i)
        found: dict[int, float] = {}
        groups = list(by_prompt.items())
        for first in range(0, len(groups), self._rows):
            together = {
                str(indices[0]): (prompt, indices) for prompt, indices in groups[first:][: self._rows]
            }
            rows = RewardRows(self._reward)
            rows.join({name: prompt for name, (prompt, _) in together.items()})
            given = {n: [self._tokens(candidates[i]) for i in own] for n, (_, own) in together.items()}
            for name, numbers in rows.scores(given, strict=False).items():
                if not np.isfinite(numbers).all():  # one that is none makes those beside it none
                    numbers = [rows.scores({name: [one]}, strict=False)[name][0] for one in given[name]]
                found |= zip(together[name][1], numbers, strict=True)
            self._read += rows.read
        for i, candidate in enumerate(candidates):
            if not np.isfinite(found[i]):
                raise _no_number(found[i], "the reward model", candidate, _beginning(candidate))
        return [found[i] for i in range(len(candidates))]

    def _tokens(self, candidate: Candidate) -> list[int]:
        """What follows the prompt; an end token is among those that close the turn, where they are read."""
        tokens = list(candidate.response.tokens)
        return tokens[:-1] if self._reward.ending and tokens[-1] in self._ends else tokens


class ByLikelihood:
    """The ARM's own reward of the whole response, with no reward model.

    `arm`       sum_t log p_arm(y_t)
    `implicit`  sum_t (log p_arm(y_t) - log p_start(y_t))

    Where the start is the base, its log-probabilities are those that the candidates bring with them, and are
    not read again. Raises ConfigError for an ARM, or a start, that is not loaded.
    """

    def __init__(self, engine: Engine, arm: str, reward: Literal["arm", "implicit"] = "arm") -> None:
        if arm not in engine.arms:
            raise ConfigError(
                f"best_of_n chooses by ARM {arm!r}, which is not loaded",
                hint=f"loaded ARMs: {', '.join(engine.arms) or 'none'}",
            )
        self._engine, self._arm, self._implicit = engine, arm, reward == "implicit"
        starts = [part for part in engine.parts if Start(arm) in part.readers]
        if self._implicit and not starts:
            raise ConfigError(
                f"the implicit reward of ARM {arm!r} needs what it was trained from, which is not loaded",
                hint="load_decoder(..., contrast=True) loads what its card names",
            )
        self._from_base = any(part.base for part in starts)
        self._meter = Meter(lambda: engine.passes)

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens that the ARM and a start of its own read, as `arm`."""
        return self._meter.read

    def scores(self, candidates: Sequence[Candidate], conversation: ConversationOf) -> list[float]:
        """The rewards of the candidates, in nats. Raises JudgeError for one that is no number."""
        with self._meter.running():
            readings = read_responses(
                self._engine,
                self._arm,
                [c.request.prompt for c in candidates],
                [c.response.tokens for c in candidates],
                start=self._implicit and not self._from_base,
            )
        found = []
        for candidate, reading in zip(candidates, readings, strict=True):
            score = float(reading.arm.sum())
            if self._implicit:
                start = None if self._from_base else reading.start
                score -= candidate.response.base_logprob if start is None else float(start.sum())
            if not np.isfinite(score):
                raise _no_number(score, f"ARM {self._arm!r}", candidate, _beginning(candidate))
            found.append(score)
        return found


def _as_response(prompt: Prompt, answer: GuidedResponse) -> Response:
    reason: Literal["stop", "length"] = "length" if answer.finish_reason == "length" else "stop"
    return Response(prompt.id, answer.text, len(answer.tokens), reason, answer.base_logprob, answer.kl)


def _beginning(candidate: Candidate) -> str:
    return f"the prompt [{', '.join(map(str, candidate.request.prompt[:8]))}, ...]"


def _no_number(score: float, who: str, candidate: Candidate, prompt: str) -> JudgeError:
    return JudgeError(
        f"{who} gave {score} for candidate {candidate.number} of {prompt}, "
        f"which has {len(candidate.response.tokens)} tokens",
        hint="its scores are to be finite for any response: load it in float32, or take another one",
    )

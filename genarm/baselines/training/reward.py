"""What a policy is trained for: the score of a reward model, read at the last real token and standardised.

TRL, given a sequence classifier, reads its score at the last token that is not the padding token. Where
padding and end are one token, as in many tokenizers, that is one token too early, and nothing says so. So TRL
is given a function of text, and the model is read as a judge of it is read.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genarm.config.judge import RewardModelConfig
from genarm.errors import JudgeError
from genarm.judges.reward.conversation import ConversationReader
from genarm.judges.reward.errors import as_judge_error
from genarm.judges.reward.scorer import in_batches, last_token_scores, own_scores, padding
from genarm.judges.reward.weights import check_classifier, load_classifier
from genarm.models import ModelSource, context_of, load_tokenizer, resolve
from genarm.models.answered import special_tokens_around
from genarm.models.judge_folder import CARD, read_judge
from genarm.types import Message, Prompt

Given = Path | RewardModelConfig  # a folder of `genarm train-judge` or any other, or one with its settings


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and deviation of a reward over responses of the base: what makes two rewards comparable."""

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, name: str, scores: Sequence[float]) -> "Scale":
        """The scale of these scores. Raises JudgeError where they are all the same."""
        mean, deviation = statistics.fmean(scores), statistics.pstdev(scores)
        if not deviation > 0:
            raise JudgeError(
                f"the reward model {name!r} gives {mean:g} to each of {len(scores)} responses of the base",
                hint="train it on more pairs, or raise max_new_tokens",
            )
        return cls(mean, deviation)


class Reward:
    """The reward that a folder's model gives, as a function that TRL calls; its weights are loaded at once.

    `cut` counts the texts that the model read without the beginning of their prompt. Raises JudgeError naming
    the reward where its folder holds no reward model.
    """

    def __init__(self, name: str, given: Given) -> None:
        self.__name__ = name  # which TRL names its metrics by
        self._config = _config(given)
        self.source: ModelSource = as_judge_error(
            resolve, self._config.model, self._config.revision, self._config.chat_template, where=name
        )
        self._label = as_judge_error(check_classifier, self.source.path, self._config.label, where=name)
        self.scale, self.cut = Scale(), 0

    def scores(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        """The model's own scores, of which more is better.

        Raises JudgeError naming reward and prompt for a score that is no number, or a response too long to
        be read.
        """
        model, tokenizer = self._loaded
        limit = min(self._config.max_tokens, context_of(model))
        is_decoder = hasattr(model, "score")
        around = ((), ()) if is_decoder else special_tokens_around(tokenizer)
        read = ConversationReader(tokenizer, around).read(prompts, responses, limit)
        self.cut += sum(text.is_cut for text in read)
        score = last_token_scores if is_decoder else own_scores
        sign = -1 if self._config.lower_is_better else 1
        found = in_batches(
            [text.ids for text in read],
            lambda ids, lengths: sign * score(model, ids, lengths)[:, self._label],
            self._config.batch_tokens,
            pad=padding(tokenizer),
            title=None,
        )
        for prompt, value in zip(prompts, found, strict=True):
            if not math.isfinite(value):
                raise JudgeError(
                    f"the reward model {self.__name__!r} gives {value} to a response to prompt {prompt.id}",
                    hint="score with dtype: float32, or train the reward model again",
                )
        return found

    def __call__(self, prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
        """The standardised scores of responses as TRL has them: messages, and a turn of the assistant."""
        asked = [prompt_of(messages) for messages in prompts]
        scores = self.scores(asked, [turns[0]["content"] for turns in completions])
        return [(score - self.scale.mean) / self.scale.deviation for score in scores]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        model = as_judge_error(load_classifier, self.source, self._config.dtype, where=self.__name__)
        return model, load_tokenizer(self.source)


def prompt_of(messages: Sequence[Mapping[str, Any]]) -> Prompt:
    """A prompt from its messages as TRL has them."""
    return Prompt(tuple(Message(turn["role"], turn["content"]) for turn in messages))


def _config(given: Given) -> RewardModelConfig:
    """How a folder is scored: one of `genarm train-judge` with the length that it was trained with."""
    if isinstance(given, RewardModelConfig):
        return given
    if (given / CARD).is_file():
        return RewardModelConfig(model=str(given), max_tokens=read_judge(given).max_tokens)
    return RewardModelConfig(model=str(given))

"""The scores of a reward model for many responses: batched by length, each read at its own last token.

transformers takes the last token that is not the padding token. Where padding and end are one token, as in
many tokenizers, it reads the score one token too early and says nothing. Here the length is known, and so is
the position.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from genarm.config.judge import RewardModelConfig
from genarm.judges.reward.conversation import ConversationReader
from genarm.judges.reward.errors import as_judge_error
from genarm.judges.reward.weights import check_classifier, load_classifier
from genarm.models import ModelSource, context_of, load_tokenizer
from genarm.models.answered import special_tokens_around
from genarm.system.progress import counting
from genarm.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)


class RewardScorer:
    """Scores by the model of a folder, which is loaded when the first score is asked for.

    `tokens_read` counts the tokens of all texts that went through it.
    """

    def __init__(self, source: ModelSource, config: RewardModelConfig, name: str = "") -> None:
        self._source, self._config, self._name = source, config, name or config.model
        self.tokens_read = 0

    def score_all(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        """The score of each response to its prompt, with its sign turned where the model rates a cost.

        A text of more than `max_tokens`, or than the model's context, loses the beginning of its prompt, and
        a warning says how many did. Raises JudgeError where a response alone is longer.
        """
        return as_judge_error(self._score_all, prompts, responses, where=self._name)

    def _score_all(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        model, tokenizer = _loaded(self._source, self._config.dtype)
        label = check_classifier(self._source.path, self._config.label)
        is_decoder = hasattr(model, "score")
        around = ((), ()) if is_decoder else special_tokens_around(tokenizer)
        limit = min(self._config.max_tokens, context_of(model))
        read = ConversationReader(tokenizer, around).read(prompts, responses, limit)
        if cut := sum(text.is_cut for text in read):
            log.warning(
                "%s: %d of %d texts have more than %d tokens; the model reads them without the beginning "
                "of their prompt (reward_model.max_tokens)",
                *(self._name, cut, len(read), limit),
            )
        self.tokens_read += sum(len(text.ids) for text in read)
        score = last_token_scores if is_decoder else own_scores
        sign = -1 if self._config.lower_is_better else 1
        return in_batches(
            [text.ids for text in read],
            lambda ids, lengths: sign * score(model, ids, lengths)[:, label],
            self._config.batch_tokens,
            pad=padding(tokenizer),
            title=self._name,
        )


def in_batches(
    rows: Sequence[Sequence[int]],
    score: "Callable[[Tensor, Tensor], Tensor]",
    batch_tokens: int,
    *,
    pad: int,
    title: str | None,
) -> list[float]:
    """The score of every row, in their order; those of about one length are scored together.

    `score` takes ids [r, s], padded on the right, and lengths [r], and gives scores [r]. Without a title, how
    far it is is not shown.
    """
    import torch

    scores = [0.0] * len(rows)
    shown = counting(title, len(rows), "responses") if title else nullcontext(lambda count: None)
    with shown as advance:
        for batch in _batches([len(row) for row in rows], batch_tokens):
            lengths = torch.tensor([len(rows[i]) for i in batch])
            ids = torch.full((len(batch), int(lengths.max())), pad)
            for row, i in enumerate(batch):
                ids[row, : len(rows[i])] = torch.tensor(rows[i])
            for i, value in zip(batch, score(ids, lengths).float().tolist(), strict=True):
                scores[i] = value
            advance(len(batch))
    return scores


def last_token_scores(model: "PreTrainedModel", ids: "Tensor", lengths: "Tensor") -> "Tensor":
    """The head's scores at the last token of each row: ids [r, s], lengths [r] -> [r, labels]."""
    import torch

    ids, last = ids.to(model.device), lengths.to(model.device) - 1
    body, head = _parts(model)
    with torch.inference_mode():
        states = body(input_ids=ids, attention_mask=_mask(ids, last), use_cache=False).last_hidden_state
        scores: Tensor = head(states[torch.arange(len(ids), device=ids.device), last])
    return scores


def own_scores(model: "PreTrainedModel", ids: "Tensor", lengths: "Tensor") -> "Tensor":
    """The scores of a model that does not read them at the last token, such as an encoder with its [CLS]."""
    import torch

    ids, last = ids.to(model.device), lengths.to(model.device) - 1
    with torch.inference_mode():
        scores: Tensor = model(input_ids=ids, attention_mask=_mask(ids, last)).logits
    return scores


def _mask(ids: "Tensor", last: "Tensor") -> "Tensor":
    import torch

    return (torch.arange(ids.shape[1], device=ids.device) <= last[:, None]).long()


def _parts(model: Any) -> tuple[Any, Any]:
    return model.base_model, model.score


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@functools.lru_cache(maxsize=1)
def _loaded(source: ModelSource, dtype: str) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Model and tokenizer, kept for the next dimension that is judged by the same."""
    return load_classifier(source, dtype), load_tokenizer(source)


def padding(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Any token will do: what stands there is masked, and no position is found by it."""
    pad = tokenizer.pad_token_id
    return pad if isinstance(pad, int) else 0

"""A reward model beside a base model: the same tokens, its score at any position, keys and values kept.

What a judge reads of whole responses (`genarm/judges/reward`) is read here while a response grows, so the
model is run with a cache, as decoding runs its models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genarm.decoding.runner import attention
from genarm.decoding.runner.batch import ModelBatch
from genarm.decoding.runner.forward import ForwardPass, WholeForward
from genarm.decoding.runner.lora_rows import RowContext
from genarm.decoding.runner.trunk import Trunk
from genarm.errors import ModelError, TokenizerMismatch
from genarm.judges.reward.conversation import ConversationReader
from genarm.judges.reward.scorer import last_token_scores
from genarm.judges.reward.weights import check_classifier, load_classifier
from genarm.models import ModelSource, load_tokenizer, resolve
from genarm.models.arm import check_same_tokens
from genarm.models.layers import attention_windows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TRIAL = 12  # tokens
TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.05}  # of the scores' norm
ANOTHER = "take a sequence-classification model of a decoder whose layers are attention"


@dataclass(frozen=True, eq=False)
class RewardModel:
    """A scalar model that reads the base's tokens.

    `ending` is what closes the assistant's turn: read after each text before it is scored, and not kept; a
    model that was trained on whole conversations has its scores there. Empty scores the last token itself.
    """

    name: str
    trunk: Trunk  # its "logits" are its labels
    label: int = 0
    sign: float = 1.0  # -1 where it rates a cost
    ending: tuple[int, ...] = ()

    def values(self, labels: Tensor) -> Tensor:
        """What the trunk gives [..., labels] -> scores [...] in float32, more being better."""
        return self.sign * labels[..., self.label].float()

    def fault(self, request: str) -> ModelError:
        """The error for a request whose score is no number."""
        why, way_out = self.trunk.fault
        dtype = str(self.trunk.dtype).removeprefix("torch.")
        return ModelError(
            f"{request}: a score of the reward model {self.name} is no finite number in {dtype}: {why}",
            hint=way_out,
        )


@dataclass(frozen=True)
class RewardFolder:
    """Where a reward model lies, such as what `genarm train-judge` writes or a hub id, and how it is read.

    With `close_turn` a text is scored after the tokens that close the turn. `label` says which of several
    labels is the score, `lower_is_better` that it is a cost.
    """

    place: Path | str
    close_turn: bool = False
    lower_is_better: bool = False
    label: int | None = None


@dataclass(frozen=True)
class FoundReward:
    """A reward model whose small files were checked."""

    source: ModelSource
    label: int
    sign: float
    ending: tuple[int, ...]
    tokens: int  # ids of the base, which it must embed
    base_id: str

    def load(self, dtype: str) -> RewardModel:
        """Load the weights. Raises ModelError where it cannot be read with a cache, JudgeError for a head."""
        model = load_classifier(self.source, dtype)
        if self.tokens > (rows := _rows(model)):
            raise TokenizerMismatch(
                f"reward model {self.source.id} embeds {rows} tokens, "
                f"base {self.base_id!r} has {self.tokens}",
                hint="train the reward model on this base's tokenizer: genarm train-judge",
            )
        return RewardModel(self.source.id, reward_trunk(model), self.label, self.sign, self.ending)


def find_reward_model(
    given: RewardFolder, *, base: ModelSource, tokenizer: "PreTrainedTokenizerBase"
) -> FoundReward:
    """Check the small files of a reward model against the base and its tokenizer.

    Raises TokenizerMismatch where a token is not the same to both, JudgeError where there is no reward model.
    """
    source = resolve(str(given.place))
    label = check_classifier(source.path, given.label)
    theirs = load_tokenizer(source)
    if source.tokenizer_sha256 != base.tokenizer_sha256:
        _check_tokens(source.id, theirs, base.id, tokenizer)
    ending = tuple(ConversationReader(theirs).closing) if given.close_turn else ()
    sign = -1.0 if given.lower_is_better else 1.0
    tokens = 1 + max(tokenizer.get_vocab().values())
    return FoundReward(source, label, sign, ending, tokens, base.id)


def load_reward_model(
    place: Path | str,
    *,
    base: ModelSource,
    tokenizer: "PreTrainedTokenizerBase",
    dtype: str,
    label: int | None = None,
    lower_is_better: bool = False,
    close_turn: bool = False,
) -> RewardModel:
    """The reward model of a folder at once: what `find_reward_model` finds, loaded."""
    folder = RewardFolder(place, close_turn, lower_is_better, label)
    return find_reward_model(folder, base=base, tokenizer=tokenizer).load(dtype)


def reward_trunk(model: "PreTrainedModel") -> Trunk:
    """A classifier as a trunk. Raises ModelError where its scores with a cache are not those without."""
    if not hasattr(model, "score"):
        raise ModelError(
            f"{type(model).__name__} does not read its score at the last token, so it has none for a text "
            "that goes on",
            hint=ANOTHER,
        )
    ids = (torch.arange(2 * TRIAL).view(2, TRIAL) * 7919 + 11) % _rows(model)
    expected = last_token_scores(model, ids, torch.tensor([TRIAL, TRIAL])).float()
    attention.register()
    reasons = []
    for implementation in (attention.NAME, attention.selected(model)):
        try:
            model.set_attn_implementation(implementation)
            trunk = Trunk(model, _forward(model), vocab=expected.shape[-1])
            off = _misfit(trunk, ids.to(model.device), expected)
        except (AttributeError, TypeError, ValueError, RuntimeError, KeyError, IndexError) as error:
            reasons.append(f"{type(error).__name__}: {error}")
            continue
        if not off > TOLERANCE[model.dtype]:  # scores that are no numbers are told with their request
            return trunk
        reasons.append(f"its scores would be off by {off:.1%}")
    raise ModelError(
        f"{type(model).__name__} cannot be read with a cache of keys and values: {reasons[-1]}", hint=ANOTHER
    )


class _Classifier(nn.Module):
    """Body and head of a classifier as a model whose logits at every position are its labels."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.body, self.head = model.base_model, model.score

    def forward(self, logits_to_keep: int, **inputs: Any) -> SimpleNamespace:
        """The labels at the last `logits_to_keep` positions; 0 for all."""
        states = self.body(**inputs).last_hidden_state
        return SimpleNamespace(logits=self.head(states[:, -logits_to_keep:]))


def _forward(model: "PreTrainedModel") -> ForwardPass:
    kinds, windows = attention_windows(model.config.get_text_config())
    classifier: Any = _Classifier(model)
    return WholeForward(RowContext(), classifier, dict(zip(kinds, windows, strict=True)))


@torch.inference_mode()
def _misfit(trunk: Trunk, ids: Tensor, expected: Tensor) -> float:
    """How far scores in two passes with a cache are from `expected` [2, labels]."""
    trial = ModelBatch(trunk, len(ids), {}, TRIAL, bare=True)
    trial.feed(ids[:, :-1], head=None)
    labels = trial.feed(ids[:, -1:], head=slice(-1, None))
    assert labels is not None
    return float((labels[:, -1].float() - expected).norm() / expected.norm())


def _check_tokens(name: str, theirs: Any, base_id: str, ours: Any) -> None:
    try:
        check_same_tokens(name, theirs, base_id, ours)
    except TokenizerMismatch as error:
        raise TokenizerMismatch(
            error.message.replace("ARM ", "reward model ", 1),
            hint="train the reward model on this base's tokenizer: genarm train-judge",
        ) from None


def _rows(model: "PreTrainedModel") -> int:
    embedding: Any = model.get_input_embeddings()
    return int(embedding.weight.shape[0])


def prefill(batch: ModelBatch, texts: Sequence[Sequence[int]], most: int = 2048) -> None:
    """Read a text into every sequence of a new batch, padded on the left, at most so many tokens a pass."""
    widest = max(map(len, texts))
    ids = torch.tensor([[text[0]] * (widest - len(text)) + list(text) for text in texts])
    counts = torch.tensor([len(text) for text in texts]).numpy()
    columns = max(most // len(texts), 1)
    for start in range(0, widest, columns):
        stop = min(start + columns, widest)
        real = (counts - (widest - stop)).clip(0, stop - start)
        batch.feed(ids[:, start:stop].to(batch.trunk.device), real, head=None)

"""Rotary embeddings that change with the length of a text, and how a model is kept below that change.

transformers chooses the frequencies of a whole batch by its longest sequence:

longrope  one set up to `original_max_position_embeddings`, another beyond: a request that grows past it would
          change in the middle of its text, and so would all that are computed with it
dynamic   changes with every token beyond `max_position_embeddings`, which nothing here ever reads
default, linear, llama3, yarn, proportional: one set for all lengths

A model is therefore read up to the change and no further: what is computed alone, in a batch, in a packed row
and by `generate` is then the same. Whether that is so is tried on every model.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from genarm.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SWITCHED = ("factor", "mscale")  # what `short_*` and `long_*` of longrope give
TOKENS, STEP = 8, 32  # of a trial, and between their positions
FARTHEST = 2**20  # position of a trial, where a configuration gives no context
TOLERANCE = {"float32": 1e-4, "float64": 1e-4}  # of the logits' norm
ROUNDED = 0.02  # the same in other precisions

log = logging.getLogger(__name__)


def position_limit(config: Any) -> int | None:
    """The most tokens for which one set of longrope's frequencies holds; None where it holds for all.

    `config` is the text model's.
    """
    limits = [
        int(given.get("original_max_position_embeddings") or config.original_max_position_embeddings)
        for given in _rope_parameters(config)
        if given.get("rope_type") == "longrope"
        and any(given.get(f"short_{name}") != given.get(f"long_{name}") for name in SWITCHED)
    ]
    return min(limits, default=None)


def limit_reason(model: "PreTrainedModel") -> str:
    """Why a model is read no further than the limit of its positions; empty where it has none."""
    config = model.config.get_text_config()
    limit, context = position_limit(config), getattr(config, "max_position_embeddings", None)
    if limit is None or (context is not None and limit >= context):
        return ""
    return (
        f"{type(model).__name__} changes its rotary embedding beyond {limit} tokens (longrope), and is read "
        "up to there; to read more, set short_factor to long_factor in config.json of a copy of the model"
    )


def check_positions(model: "PreTrainedModel", context: int) -> None:
    """Try whether a text is read alike beside a much longer one, of up to `context` tokens.

    Warns of a model that is read up to the limit of its positions. Raises ModelError where the logits of the
    text are not the same.
    """
    import torch

    if reason := limit_reason(model):
        log.warning("%s", reason)
    vocab = model.config.get_text_config().vocab_size
    ids = (torch.arange(2 * TOKENS, device=model.device).view(2, TOKENS) * 7919 + 11) % vocab
    order, last = torch.arange(TOKENS, device=model.device), min(context, FARTHEST) - 1
    text = order * max(1, min(STEP, last // (2 * TOKENS)))
    logits = []
    with torch.inference_mode():
        for beside in (text, (last - order.flip(0)).clamp(min=0)):
            try:
                out = model(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    position_ids=torch.stack([text, beside]),
                    use_cache=False,
                )
            except (TypeError, IndexError):  # it takes no positions, or has a table of fewer
                return
            logits.append(out.logits[0, -1].float())
    off = float((logits[1] - logits[0]).norm() / logits[0].norm())
    if off > TOLERANCE.get(str(model.dtype).removeprefix("torch."), ROUNDED):
        raise ModelError(
            f"{type(model).__name__} reads a text otherwise beside a longer one: "
            f"its logits are off by {off:.1%}",
            hint="take a model whose rotary embedding is the same for all lengths",
        )


def _rope_parameters(config: Any) -> Iterator[Mapping[str, Any]]:
    """The rotary settings of a configuration, one for each kind of layer where they differ."""
    given = getattr(config, "rope_parameters", None)
    if isinstance(given, Mapping):
        kinds = [of_kind for of_kind in given.values() if isinstance(of_kind, Mapping)]
        yield from kinds or [given]

"""Preference pairs to tensors: the prompt is computed once for both responses, and padding is kept small.

A shared row is `prompt + chosen + rejected`. A block mask lets each response see the prompt and itself, and
its positions go on from the prompt's end, so the model computes what it would on two rows (prefix sharing,
arXiv 2410.20305). The last token of a response is predicted but never read, so it is no input.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genarm.errors import DataError
from genarm.models import render
from genarm.types import PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROMPT, CHOSEN, REJECTED, PADDING = 0, 1, 2, 3
GROUP = 8  # optimiser steps whose pairs are sorted by length together


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A pair as token ids; both responses end with the end-of-turn token."""

    prompt_id: str
    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def row_tokens(self) -> int:
        """Tokens of its shared row."""
        return len(self.prompt) + len(self.chosen) + len(self.rejected) - 2


@dataclass(frozen=True, slots=True)
class PairBatch:
    """p pairs as r rows (p shared or 2p plain ones) of s tokens, in which t tokens are predicted.

    Response 2i is the chosen one of pair i, response 2i + 1 its rejected one.
    """

    prompt_ids: tuple[str, ...]
    shared: bool
    input_ids: Tensor  # [r, s]
    position_ids: Tensor  # [r, s]
    part: Tensor  # [r, s] PROMPT, CHOSEN, REJECTED or PADDING
    predicts: Tensor  # [r, s] bool: a response token is predicted from here
    source: Tensor  # [t] which of the True places of `predicts`, in reading order, predicts the token
    target: Tensor  # [t] the token
    owner: Tensor  # [t] its response

    def __len__(self) -> int:
        return len(self.prompt_ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PairBatch":
        moved: dict[str, Any] = {
            field.name: value.to(device, non_blocking=non_blocking)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


def encode(
    pairs: Sequence[PreferencePair], tokenizer: "PreTrainedTokenizerBase", *, context: int
) -> list[TokenPair]:
    """Token ids of each pair, rendered as decoding renders them.

    Raises DataError for a pair that is longer than the model's context, naming prompt and lengths.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise DataError(
            "the tokenizer has no end-of-turn token, so no response would ever end",
            hint="set eos_token in the model's tokenizer_config.json",
        )
    return [_encode(pair, tokenizer, end, context) for pair in pairs]


def _encode(pair: PreferencePair, tokenizer: "PreTrainedTokenizerBase", end: int, context: int) -> TokenPair:
    prompt = render(tokenizer, pair.prompt.messages)
    # By itself, not after the prompt: decoding extends the prompt's ids and never re-tokenises across them.
    chosen, rejected = (
        [*tokenizer.encode(text, add_special_tokens=False), end] for text in (pair.chosen, pair.rejected)
    )
    longest = max(len(chosen), len(rejected))
    if len(prompt) + longest > context:
        raise DataError(
            f"prompt {pair.prompt.id} has {len(prompt)} tokens and a response of {longest}, "
            f"the model reads at most {context}",
            hint=f"set pairs.max_tokens to at most {context}",
        )
    return TokenPair(pair.prompt.id, prompt, chosen, rejected)


def collate(pairs: Sequence[TokenPair], *, shared: bool = True) -> PairBatch:
    """Pad the rows of some pairs to one length."""
    rows, source, target, owner = [], [], [], []
    places = 0  # from which a token is predicted, in the rows so far
    for i, pair in enumerate(pairs):
        p = len(pair.prompt)
        if shared:
            c, r = len(pair.chosen) - 1, len(pair.rejected) - 1
            rows.append(
                (
                    pair.prompt + pair.chosen[:-1] + pair.rejected[:-1],
                    [*range(p + c), *range(p, p + r)],
                    [PROMPT] * p + [CHOSEN] * c + [REJECTED] * r,
                    p,
                )
            )
            # Both first tokens are predicted from the end of the prompt.
            source += [places, *range(places + 1, places + 1 + c)]
            source += [places, *range(places + 1 + c, places + 1 + c + r)]
            places += 1 + c + r
        else:
            for response in (pair.chosen, pair.rejected):
                ids = pair.prompt + response[:-1]
                rows.append((ids, [*range(len(ids))], [PROMPT] * len(ids), p))
                source += range(places, places + len(response))
                places += len(response)
        target += pair.chosen + pair.rejected
        owner += [2 * i] * len(pair.chosen) + [2 * i + 1] * len(pair.rejected)
    shape = (len(rows), max(len(ids) for ids, *_ in rows))
    input_ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    part, predicts = torch.full(shape, PADDING), torch.zeros(shape, dtype=torch.bool)
    for row, (ids, places_of, parts, p) in enumerate(rows):
        n = len(ids)
        input_ids[row, :n], positions[row, :n] = torch.tensor(ids), torch.tensor(places_of)
        part[row, :n], predicts[row, p - 1 : n] = torch.tensor(parts), True
    return PairBatch(
        tuple(pair.prompt_id for pair in pairs),
        shared,
        input_ids,
        positions,
        part,
        predicts,
        torch.tensor(source),
        torch.tensor(target),
        torch.tensor(owner),
    )


def block_mask(part: Tensor, positions: Tensor, dtype: torch.dtype, window: int | None = None) -> Tensor:
    """Additive attention mask [r, 1, s, s]: 0 where a token may look, the least number elsewhere.

    A token sees the prompt and its own part up to itself; with a `window`, only positions less than `window`
    before its own. Padding sees itself, lest its softmax be over nothing, and nobody else sees it.
    """
    query, key = part[:, :, None], part[:, None, :]
    order = torch.arange(part.shape[1], device=part.device)
    seen = (order[:, None] >= order[None, :]) & ((key == PROMPT) | (key == query))
    if window is not None:
        seen &= positions[:, :, None] - positions[:, None, :] < window
    mask = torch.zeros(seen.shape, dtype=dtype, device=part.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def plan(
    lengths: Sequence[int], *, epochs: float, batch_pairs: int, micro_batch_pairs: int, seed: int
) -> list[list[int]]:
    """Micro-batches of the whole training, as pair indices in the order they are computed.

    Every optimiser step takes `batch_pairs` pairs (the last one what is left) in ceil(batch / micro) micro-
    batches. Each epoch is shuffled anew; within a few steps pairs of like length meet, to spare padding.
    """
    rng = random.Random(seed)
    order: list[int] = []
    total = max(1, round(epochs * len(lengths)))
    while len(order) < total:
        order += rng.sample(range(len(lengths)), len(lengths))
    sizes = _sizes(batch_pairs, micro_batch_pairs)
    group = GROUP * batch_pairs
    batches: list[list[int]] = []
    for start in range(0, total, group):
        chosen = order[start : min(start + group, total)]
        whole = len(chosen) // batch_pairs * batch_pairs
        # Micro-batch j of every step has the same size, so they can be dealt out in any order.
        by_length = sorted(chosen[:whole], key=lambda i: (lengths[i], i))
        piles: list[list[list[int]]] = [[] for _ in sizes]
        for _ in range(whole // batch_pairs):
            for pile, size in zip(piles, sizes, strict=True):
                pile.append(by_length[:size])
                by_length = by_length[size:]
        for pile in piles:
            rng.shuffle(pile)
        batches += [batch for step in zip(*piles, strict=True) for batch in step]
        if rest := sorted(chosen[whole:], key=lambda i: (lengths[i], i)):
            for size in _sizes(len(rest), micro_batch_pairs):
                batches.append(rest[:size])
                rest = rest[size:]
    return batches


def _sizes(pairs: int, most: int) -> list[int]:
    """`pairs` in as few parts of at most `most` as possible, as even as possible."""
    parts = -(-pairs // most)
    return [pairs // parts + (i < pairs % parts) for i in range(parts)]

"""Preference pairs to tensors: many pairs in one row without padding, each prompt once.

A pair takes up `prompt + chosen + rejected` of the row. Each response attends to the prompt and itself, and
no token to another pair. Positions start at 0 with every pair, and at the prompt's end with either response:
the model computes what it would on separate rows (prefix sharing, arXiv 2410.20305).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from genarm.training.tokens import TokenPair

PROMPT, CHOSEN, REJECTED = range(3)
PADDING = -1


@dataclass(frozen=True, slots=True)
class PairBatch:
    """p pairs as one packed row, or as 2p padded ones, of s tokens, in which t tokens are predicted.

    Response 2i is the chosen one of pair i, response 2i + 1 its rejected one.
    """

    prompt_ids: tuple[str, ...]
    shapes: tuple[tuple[int, int, int], ...]  # tokens read of each pair: prompt, chosen, rejected
    packed: bool
    input_ids: Tensor  # [r, s]
    position_ids: Tensor  # [r, s]
    pair: Tensor  # [r, s] to which pair a token belongs, or PADDING
    part: Tensor  # [r, s] PROMPT, CHOSEN or REJECTED, or PADDING; padded rows are PROMPT throughout
    predicts: Tensor  # [r, s] bool: a response token is predicted from here
    source: Tensor  # [t] which of the True places of `predicts`, in reading order, predicts the token
    target: Tensor  # [t] the token
    owner: Tensor  # [t] the response that it belongs to
    start: Tensor | None = None  # [p, 2] log-probabilities before training, where the loss subtracts them
    dimension: Tensor | None = None  # [p] which dimension each pair is of, where pairs of several are mixed

    def __len__(self) -> int:
        return len(self.prompt_ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PairBatch":
        """The same batch with its tensors on a device."""
        moved: dict[str, Any] = {
            field.name: value.to(device, non_blocking=non_blocking)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


def collate(pairs: Sequence[TokenPair], *, packed: bool = True, start: Tensor | None = None) -> PairBatch:
    """Some pairs end to end in one row, or as two padded rows each; `start` goes with them as it is."""
    ids: list[list[int]] = []
    positions: list[list[int]] = []
    owners: list[list[int]] = []
    parts: list[list[int]] = []
    predicts: list[list[bool]] = []
    source: list[int] = []
    places = 0  # from which a token is predicted, so far
    shapes = []
    for i, pair in enumerate(pairs):
        p, c, r = len(pair.prompt), len(pair.chosen) - 1, len(pair.rejected) - 1
        shapes.append((p, c, r))
        if packed:
            ids.append(pair.prompt + pair.chosen[:-1] + pair.rejected[:-1])
            positions.append([*range(p + c), *range(p, p + r)])
            owners.append([i] * (p + c + r))
            parts.append([PROMPT] * p + [CHOSEN] * c + [REJECTED] * r)
            predicts.append([False] * (p - 1) + [True] * (1 + c + r))
            # Both first tokens are predicted from the end of the prompt.
            source += [places, *range(places + 1, places + 1 + c)]
            source += [places, *range(places + 1 + c, places + 1 + c + r)]
            places += 1 + c + r
        else:
            for response in (pair.chosen, pair.rejected):
                ids.append(pair.prompt + response[:-1])
                positions.append([*range(len(ids[-1]))])
                owners.append([i] * len(ids[-1]))
                parts.append([PROMPT] * len(ids[-1]))
                predicts.append([False] * (p - 1) + [True] * len(response))
                source += range(places, places + len(response))
                places += len(response)
    return PairBatch(
        tuple(pair.prompt_id for pair in pairs),
        tuple(shapes),
        packed,
        _rows(ids, packed, 0),
        _rows(positions, packed, 0),
        _rows(owners, packed, PADDING),
        _rows(parts, packed, PADDING),
        _rows(predicts, packed, False),
        torch.tensor(source),
        torch.tensor([token for pair in pairs for token in pair.chosen + pair.rejected]),
        torch.tensor(
            [2 * i + k for i, p in enumerate(pairs) for k, y in enumerate((p.chosen, p.rejected)) for _ in y]
        ),
        start,
    )


def _rows(rows: Sequence[Sequence[int]], packed: bool, fill: int) -> Tensor:
    if packed:
        return torch.tensor([[value for row in rows for value in row]])
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])

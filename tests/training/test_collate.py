"""Pairs to tensors: what the row holds, and which token attends to which, worked by hand."""

import torch

from genarm.training.collate import CHOSEN, PADDING, PROMPT, REJECTED, collate
from genarm.training.packed_attention import BlockLayout, dense_mask, flex_mask, mask_mod
from genarm.training.tokens import TokenPair

PAIRS = [TokenPair("a", [1, 2], [3, 4], [5, 6, 7]), TokenPair("b", [8], [9, 10], [11])]


def test_a_packed_row_by_hand():
    """Last tokens are predicted, not read; positions of both responses go on from the prompt's end."""
    batch = collate(PAIRS)
    assert batch.input_ids.tolist() == [[1, 2, 3, 5, 6, 8, 9]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 2, 3, 0, 1]]
    assert batch.pair.tolist() == [[0, 0, 0, 0, 0, 1, 1]]
    assert batch.part.tolist() == [[PROMPT, PROMPT, CHOSEN, REJECTED, REJECTED, PROMPT, CHOSEN]]
    places = batch.predicts[0].nonzero()[:, 0]
    assert places[batch.source].tolist() == [1, 2, 1, 3, 4, 5, 6, 5]
    assert batch.target.tolist() == [3, 4, 5, 6, 7, 9, 10, 11]
    assert batch.owner.tolist() == [0, 0, 1, 1, 1, 2, 2, 3]
    assert batch.shapes == ((2, 1, 2), (1, 1, 0))


def test_padded_rows_by_hand():
    batch = collate(PAIRS[:1], packed=False)
    assert batch.input_ids.tolist() == [[1, 2, 3, 0], [1, 2, 5, 6]]
    assert batch.predicts.tolist() == [[False, True, True, False], [False, True, True, True]]
    assert (batch.part == PADDING).tolist() == [[False, False, False, True], [False] * 4]


def test_the_mask_by_hand():
    """No token attends to the other response or another pair; with a window of 2, position 2 not to 0."""
    batch = collate(PAIRS)
    seen = dense_mask(batch, None, torch.float32)[0, 0] == 0
    assert seen.int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 0, 1, 0, 0, 0],
        [1, 1, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 1],
    ]
    near = dense_mask(batch, 2, torch.float32)[0, 0] == 0
    assert near.int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0],
        [0, 1, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 1],
    ]


def test_blocks_and_flex_attention_hide_what_the_dense_mask_hides(monkeypatch):
    monkeypatch.setattr("genarm.training.packed_attention.QUERIES", 3)
    shapes = [(1, 1, 9), (7, 6, 2), (3, 12, 1), (11, 4, 4)]
    batch = collate([TokenPair("", [0] * p, [0] * c, [0] * r) for p, c, r in shapes])
    s = batch.input_ids.shape[1]
    for window in (None, 1, 2, 4, 5, 99):
        dense = dense_mask(batch, window, torch.float32)[0, 0] == 0
        blocks = torch.zeros_like(dense)
        places = torch.arange(s)[None, :, None]
        for block in BlockLayout(batch, torch.float32).blocks(window):
            keys = block.keys(places)[0, :, 0]
            n, h = block.mask.shape
            attends = torch.ones(n, len(keys), dtype=torch.bool)
            attends[:, -h:] = block.mask == 0
            assert attends.any(1).all() and attends.any(0).all(), "no block is larger than it must be"
            blocks[block.start : block.end, keys] = attends
        assert torch.equal(blocks, dense), window
        flex = flex_mask(batch, window)
        assert flex.shape == (1, 1, s, s)
        order = torch.arange(s)
        assert torch.equal(flex.mask_mod(0, 0, order[:, None], order[None]), dense)
        assert torch.equal(mask_mod(batch, window)(0, 0, order[:, None], order[None]), dense)

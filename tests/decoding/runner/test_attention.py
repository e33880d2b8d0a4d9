"""Attention over cached keys: equal to its equation, in whatever layout the kernel of a device answers."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from genarm.decoding.runner.attention import attend


def laid_out_by_query(*arguments: Tensor, **options: object) -> Tensor:
    """As CUDA's kernels answer: [b, h, q, d] in the order [b, q, h, d] of memory."""
    return attention(*arguments, **options).transpose(1, 2).contiguous().transpose(1, 2)


attention = F.scaled_dot_product_attention


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("kernel", [attention, laid_out_by_query], ids=["contiguous", "by query"])
def test_it_equals_its_equation_in_any_layout(queries, kernel, monkeypatch):
    monkeypatch.setattr(F, "scaled_dot_product_attention", kernel)
    draw = torch.Generator().manual_seed(0)
    q = torch.randn(2, 4, queries, 8, generator=draw)
    k, v = (torch.randn(2, 2, 5, 8, generator=draw) for _ in range(2))
    mask = torch.randn(2, 1, queries, 5, generator=draw)
    out, _ = attend(torch.nn.Module(), q, k, v, mask)
    keys, values = (x.repeat_interleave(2, dim=1) for x in (k, v))
    wanted = (q @ keys.transpose(-1, -2) * 8**-0.5 + mask).softmax(-1) @ values
    torch.testing.assert_close(out, wanted.transpose(1, 2), rtol=0, atol=1e-6)

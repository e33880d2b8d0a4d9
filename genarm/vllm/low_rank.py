"""The low-rank additions of the ARMs beside one linear layer, on the ARMs' rows alone."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class LowRank(nn.Module):
    """y_i += (x_i A_i) B_i for the rows of each of m ARMs; the base's rows stay as they are.

    vLLM joins linear modules that read one input (q, k and v; gate and up), and so are the factors: module j
    of them has `rank` columns of its own in A, whose rows in B reach its outputs alone. A smaller rank leaves
    zeros. Buffers, since the loader looks for parameters in the checkpoint.
    """

    a: Tensor  # [m, in, modules * rank]
    b: Tensor  # [m, modules * rank, out]

    def __init__(self, arms: int, rank: int, size_in: int, sizes_out: Sequence[int]) -> None:
        super().__init__()
        self.rank, self.size_in, self.sizes_out = rank, size_in, tuple(sizes_out)
        columns = rank * len(sizes_out)
        self.register_buffer("a", torch.zeros(arms, size_in, columns), persistent=False)
        self.register_buffer("b", torch.zeros(arms, columns, sum(sizes_out)), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Add to y [(1 + m) t, out] what the ARMs make of x [(1 + m) t, in], in place."""
        arms = self.a.shape[0]
        tokens = x.shape[0] // (1 + arms)
        low = torch.bmm(x[tokens:].view(arms, tokens, -1), self.a)
        y[tokens:].view(arms, tokens, -1).baddbmm_(low, self.b)
        return y

    @torch.no_grad()
    def write(self, arm: int, factors: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """Replace the factors of an ARM: by module, down [r, in] and up [out, r], of any r up to `rank`."""
        self.a[arm].zero_()
        self.b[arm].zero_()
        for module, (down, up) in factors.items():
            column = module * self.rank
            output = sum(self.sizes_out[:module])
            rank = down.shape[0]
            self.a[arm, :, column : column + rank].copy_(down.T)
            self.b[arm, column : column + rank, output : output + up.shape[0]].copy_(up.T)

"""The low-rank additions of the ARMs beside one linear layer, on the ARMs' rows alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of a side of a linear module that one of `count` processes has, under tensor parallelism."""

    size: int  # of the whole side
    index: int = 0
    count: int = 1

    @property
    def part(self) -> slice:
        """Where this process's part lies."""
        each = self.size // self.count
        return slice(self.index * each, (self.index + 1) * each)

    @property
    def here(self) -> int:
        """How much of it this process has."""
        return self.size // self.count


class LowRank(nn.Module):
    """y_i += (x_i A_i) B_i for the rows of each of m ARMs; the base's rows stay as they are.

    vLLM joins linear modules that read one input (q, k and v; gate and up), and so are the factors: module j
    of them has `rank` columns of its own in A, whose rows in B reach its outputs alone. A smaller rank leaves
    zeros. Buffers, since the loader looks for parameters in the checkpoint.

    Under tensor parallelism each process has a part of the outputs, for which it has those rows of B; or a
    part of the inputs, whose x A `reduce` adds up over all processes.
    """

    a: Tensor  # [m, in, modules * rank]
    b: Tensor  # [m, modules * rank, out]

    def __init__(
        self,
        arms: int,
        rank: int,
        inputs: Shard,
        outputs: Sequence[Shard],
        reduce: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.rank, self.inputs, self.outputs, self.reduce = rank, inputs, tuple(outputs), reduce
        columns = rank * len(outputs)
        self.register_buffer("a", torch.zeros(arms, inputs.here, columns), persistent=False)
        self.register_buffer("b", torch.zeros(arms, columns, sum(o.here for o in outputs)), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Add to y [(1 + m) t, out] what the ARMs make of x [(1 + m) t, in], in place."""
        arms = self.a.shape[0]
        tokens = x.shape[0] // (1 + arms)
        low = torch.bmm(x[tokens:].view(arms, tokens, -1), self.a)
        if self.reduce is not None and self.inputs.count > 1:
            low = self.reduce(low)
        y[tokens:].view(arms, tokens, -1).baddbmm_(low, self.b)
        return y

    @torch.no_grad()
    def write(self, arm: int, factors: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """Replace the factors of an ARM: by module, down [r, in] and up [out, r], of any r up to `rank`."""
        self.a[arm].zero_()
        self.b[arm].zero_()
        for module, (down, up) in factors.items():
            column = module * self.rank
            shard, output = self.outputs[module], sum(o.here for o in self.outputs[:module])
            rank = down.shape[0]
            self.a[arm, :, column : column + rank].copy_(down[:, self.inputs.part].T)
            self.b[arm, column : column + rank, output : output + shard.here].copy_(up[shard.part].T)

"""One step of a model's batch with fixed shapes and memory, so that a GPU can replay it as a graph.

Keys are written at a column that is data, and all columns there are take part, hidden by the mask where they
are no tokens. It is the same arithmetic as the eager step, on more columns; on a small model on a GPU it
saves the launch of some thousand kernels a token. Without a GPU the step is run again each time instead.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from genarm.decoding.runner.forward import ForwardPass, Inputs, RowPlan
from genarm.decoding.runner.kv_cache import KeyValues, hidden_score
from genarm.decoding.runner.out_of_memory import is_out_of_memory

NEWEST = slice(-1, None)
log = logging.getLogger(__name__)


class StepRecorder:
    """Records the steps of one model's batches, until one cannot be recorded; from then on there are none."""

    def __init__(self, *, enabled: bool = False) -> None:
        self.enabled = enabled

    def run(self, step: "CudaGraphStep", ids: Tensor, positions: Tensor) -> Tensor | None:
        """As `CudaGraphStep.run`; None, with a warning, where the step cannot be recorded."""
        try:
            return step.run(ids, positions)
        except RuntimeError as error:
            if is_out_of_memory(error):  # the session then goes on with fewer slots
                raise
            self.enabled = False
            log.warning("steps cannot be recorded, going on without: %s", error)
            return None


class CudaGraphStep:
    """The step of one batch, recorded when it is first run.

    `plan`, `cache` and `positions` [n, capacity] are the batch's own, which change from step to step; `dtype`
    is that of the masks.
    """

    def __init__(
        self,
        forward_pass: ForwardPass,
        plan: RowPlan,
        cache: KeyValues,
        positions: Tensor,
        dtype: torch.dtype,
    ) -> None:
        self.forward_pass, self.plan, self.cache, self.positions_read = forward_pass, plan, cache, positions
        (n, capacity), device = positions.shape, positions.device
        self.ids = torch.zeros(n, 1, dtype=torch.long, device=device)
        self.positions = torch.zeros_like(self.ids)
        self.column = torch.zeros(1, dtype=torch.long, device=device)
        self.masks = {
            window: torch.zeros(n, 1, 1, capacity, dtype=dtype, device=device)
            for window in set(forward_pass.windows)
        }
        self._again: Callable[[], Tensor] | None = None

    def run(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Logits of the newest token of every row [r, 1, v]; ids and positions [n, 1]."""
        self.ids.copy_(ids)
        self.positions.copy_(positions.clamp(min=0))
        self.column.fill_(self.cache.end)
        for window, mask in self.masks.items():
            unseen = self.positions_read < 0
            if window is not None:
                unseen = unseen | (self.positions_read <= positions - window)
            mask.zero_().masked_fill_(unseen[:, None, None], hidden_score(mask.dtype))
        if self._again is None:
            self._again = self.record()
        return self._again()

    def record(self) -> Callable[[], Tensor]:
        """Run the step once; what is returned runs it again, on the same memory."""
        if self.ids.device.type != "cuda":
            return self._step
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self._step()  # whatever is made once is made before the recording
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self._step()

        def again() -> Tensor:
            graph.replay()
            return logits

        return again

    def _step(self) -> Tensor:
        inputs = Inputs(self.ids, self.positions, lambda window: self.masks[window])
        self.cache.column = self.column
        try:
            logits = self.forward_pass.run(inputs, self.plan, self.cache, NEWEST)
        finally:
            self.cache.column = None
        assert logits is not None
        return logits

"""One step of a model's batch with fixed shapes and memory, so that a GPU can replay it as a graph.

Keys are written at a column that is data, and all columns there are take part, hidden by the mask where they
are no tokens. It is the same arithmetic as the eager step, on more columns; on a small model on a GPU it
saves the launch of some thousand kernels a token. Without a GPU the step is run again each time instead.

A recorded step is kept with its memory when its batch is gone, and the next batch with as many rows of each
adapter and as many columns moves in. Which sequence a row is of, and its shares of preference dimensions, are
data like its tokens. So a step is recorded once for each number of slots and multiple of columns, and not at
every arrangement of requests.
"""

import logging
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.runner.forward import Inputs
from genarm.decoding.runner.kv_cache import KeyValues, hidden_score
from genarm.decoding.runner.out_of_memory import is_out_of_memory
from genarm.decoding.runner.recordings import Recordings

NEWEST = slice(-1, None)
COLUMNS = 256  # on a GPU a cache has a multiple of these: batches of about one length share a recording
KEPT = 8  # this part of a GPU's memory may be held by recorded steps without a batch
log = logging.getLogger(__name__)


class Batch(Protocol):
    """What is recorded: the step of a `ModelBatch`."""

    trunk: Any
    rows: Any
    cache: KeyValues
    positions: Tensor
    last: int
    recorded: "CudaGraphStep | None"


class StepRecorder:
    """Records the steps of one model's batches, until one cannot be recorded; from then on there are none."""

    def __init__(self, *, enabled: bool = False) -> None:
        self.enabled = enabled
        self.steps: Recordings[CudaGraphStep] = Recordings()
        self._pool: Any = None

    def columns(self, capacity: int, device: torch.device) -> int:
        """How many columns a cache is to have that needs this many."""
        if not (self.enabled and device.type == "cuda"):
            return capacity
        return -(-capacity // COLUMNS) * COLUMNS

    def run(self, batch: Batch, ids: Tensor, positions: np.ndarray) -> Tensor | None:
        """Logits of the newest token of every row [r, 1, v]; ids [n, 1] and their positions [n].

        They stay until the next recorded step. None, with a warning, where the step cannot be recorded.
        """
        try:
            if batch.recorded is None:
                batch.recorded = self._step_of(batch)
            return batch.recorded.run(ids, positions, batch.cache.end)
        except RuntimeError as error:
            if is_out_of_memory(error):  # the session then goes on with fewer slots
                raise
            self.enabled = False
            self.forget()
            log.warning("steps cannot be recorded, going on without: %s", error)
            return None

    def _step_of(self, batch: Batch) -> "CudaGraphStep":
        """A step for this batch: one that is free and fits, which takes up what it has read, or a new one."""
        found = self.steps.fitting((batch.rows.key, batch.cache.capacity))
        if found is None:
            found = CudaGraphStep(batch, self.pool(batch.trunk.device))
        else:
            found.move_in(batch)
        self.steps.used(found, bytes_to_keep(batch.trunk.device))
        return found

    def pool(self, device: torch.device) -> Any:
        """The memory that its recordings share for what is in the making: one is replayed at a time."""
        if self._pool is None and device.type == "cuda":
            self._pool = torch.cuda.graph_pool_handle()
        return self._pool

    def forget(self) -> None:
        """Drop the recorded steps that no batch has; their memory is free then."""
        self.steps.drop_free()


def bytes_to_keep(device: torch.device) -> int:
    """How much memory recorded steps without a batch may hold; none without a GPU, where none is recorded."""
    if device.type != "cuda":
        return 0
    return int(torch.cuda.get_device_properties(device).total_memory) // KEPT


class CudaGraphStep:
    """The step of one batch after the other, recorded when it is first run.

    It has the memory of the batch that it was made for: the cache, and the positions [n, capacity] read.
    """

    def __init__(self, batch: Batch, pool: Any = None) -> None:
        self.pool = pool
        self.forward_pass, self.last = batch.trunk.forward_pass, batch.last
        self.rows = batch.rows.copy()  # batches come and go, and what is recorded reads the memory of these
        self.cache, self.positions_read = batch.cache, batch.positions
        self.key = batch.rows.key, batch.cache.capacity
        self.dtype = batch.trunk.dtype
        (n, _), device = self.positions_read.shape, self.positions_read.device
        self.ids = torch.zeros(n, 1, dtype=torch.long, device=device)
        self.given = torch.zeros(
            n + 1, dtype=torch.long, device=device
        )  # positions, and the column they go to
        self._again: Callable[[], Tensor] | None = None
        self._batch = weakref.ref(batch)

    @property
    def batch(self) -> Batch | None:
        """Whose step it is; None where that is gone."""
        return self._batch()

    @property
    def free(self) -> bool:
        """Whether its batch is gone."""
        return self.batch is None

    @property
    def bytes(self) -> int:
        """What its cache takes."""
        return sum(tensor.nbytes for pair in self.cache.layers.values() for tensor in pair)

    def move_in(self, batch: Batch) -> None:
        """Take up what a batch with as many rows has read; from now on its memory is this step's."""
        assert self.cache.layers.keys() == batch.cache.layers.keys()
        end = batch.cache.end
        for layer, brought in batch.cache.layers.items():
            for stored, tensor in zip(self.cache.layers[layer], brought, strict=True):
                stored[:, :, :end] = tensor[:, :, :end]
                stored[:, :, end:] = 0  # what is hidden must be finite
        self.positions_read.copy_(batch.positions)
        self.rows.take_up(batch.rows)
        self.cache.first, self.cache.end = batch.cache.first, end
        batch.cache, batch.positions = self.cache, self.positions_read
        self._batch = weakref.ref(batch)

    def run(self, ids: Tensor, positions: np.ndarray, column: int) -> Tensor:
        """Logits of the newest token of every row [r, 1, v]; ids [n, 1], positions [n]."""
        upload(np.append(positions, column), self.given)
        self.ids.copy_(ids)
        if self._again is None:
            self._again = self.record()
        return self._again()

    def record(self) -> Callable[[], Tensor]:
        """Run the step once; what is returned runs it again, on the same memory."""
        return record(self._step, self.ids.device, self.pool)

    def _step(self) -> Tensor:
        raw, column = self.given[:-1, None], self.given[-1:]
        self.positions_read.index_copy_(1, column, raw)
        positions = raw.clamp(max=self.last)
        masks = {window: self._mask(positions, window) for window in set(self.forward_pass.windows)}
        inputs = Inputs(self.ids, positions.clamp(min=0), lambda window: masks[window])
        self.cache.column = column
        try:
            logits = self.forward_pass.run(inputs, self.rows, self.cache, NEWEST)
        finally:
            self.cache.column = None
        assert logits is not None
        return logits

    def _mask(self, positions: Tensor, window: int | None) -> Tensor:
        """What to add to the scores of all columns, [n, 1, 1, capacity]."""
        unseen = self.positions_read < 0
        if window is not None:
            unseen = unseen | (self.positions_read <= positions - window)
        mask = torch.zeros(unseen.shape, dtype=self.dtype, device=unseen.device)
        return mask.masked_fill_(unseen, hidden_score(self.dtype))[:, None, None]


def record(step: Callable[[], Tensor], device: torch.device, pool: Any = None) -> Callable[[], Tensor]:
    """Record something that always works on the same memory, and give what runs it again on that memory.

    On a GPU a graph, which returns the same tensor each time, in the pool's memory; elsewhere the step.
    """
    if device.type != "cuda":
        return step
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            step()  # whatever is made once is made before the recording
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=aside, capture_error_mode="thread_local"):
            out = step()

    def again() -> Tensor:
        graph.replay()
        return out

    return again


def upload(values: np.ndarray, to: Tensor) -> None:
    """Copy numbers of the host to a tensor, in the order of the device's work but without waiting for it."""
    host = torch.from_numpy(values)
    if to.is_cuda:
        host = host.pin_memory()
    to.copy_(host, non_blocking=True)

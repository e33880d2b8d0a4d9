"""The logits processors that guide, one for each of vLLM's two model runners.

The one keeps requests in the rows of a batch, the other in slots. Both run before temperature and cuts, and
after a grammar's mask.
"""

import torch
from torch import Tensor
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate
from vllm.v1.sample.logits_processor import LogitsProcessor as RowProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as SlotProcessor

from genarm.errors import RequestError
from genarm.vllm.readings import readings_of
from genarm.vllm.weights import check_weights, coefficients, no_coefficients


def _validate(params: SamplingParams) -> None:
    try:
        check_weights(params)
    except RequestError as error:
        raise ValueError(str(error)) from None  # which vLLM takes for the client's error


class RowGuidance(RowProcessor):
    """For the V1 runner: requests move between the rows of a batch, and weights with them."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Raise ValueError for weights that make no sense; runs where requests come in."""
        _validate(sampling_params)

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self.config, self.device = vllm_config, device
        self.by_row: dict[int, list[float]] = {}
        self.rows: Tensor | None = None  # [rows, 1 + n + 1], on the host
        self.table: Tensor | None = None  # the same on the device

    def is_argmax_invariant(self) -> bool:
        """Guidance may change the best token."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the requests of the batch."""
        if batch_update is None:
            return
        names = readings_of(self.config).names
        process_dict_updates(self.by_row, batch_update, lambda params, *_: coefficients(params, names))
        unguided = no_coefficients(names)
        rows = [self.by_row.get(row, unguided) for row in range(batch_update.batch_size)]
        self.rows = torch.tensor(rows).view(len(rows), len(unguided))
        self.table = self.rows.to(self.device)

    def apply(self, logits: Tensor) -> Tensor:
        """Guide the rows of this step."""
        assert self.rows is not None and self.table is not None
        return readings_of(self.config).guide(logits, self.table, self.rows)


class SlotGuidance(SlotProcessor):
    """For Model Runner V2: a request keeps its slot, and rows of a step say whose they are."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Raise ValueError for weights that make no sense; runs where requests come in."""
        _validate(sampling_params)

    def __init__(self, vllm_config: VllmConfig, req_states: LogitsProcRequestState) -> None:
        self.config = vllm_config
        self.names = readings_of(vllm_config).names
        self.slots = torch.tensor([no_coefficients(self.names)] * req_states.max_num_reqs)  # on the host
        self.table = self.slots.to(req_states.device, copy=True)
        self.stale = False

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Take the weights of a request; the slot's last one had others."""
        row = coefficients(sampling_params, self.names)
        self.slots[req_idx] = torch.tensor(row or no_coefficients(self.names))
        self.stale = True
        return row is not None

    def apply_staged_writes(self) -> None:
        """Bring new weights to the device."""
        if self.stale:
            self.table.copy_(self.slots)
            self.stale = False

    def apply(self, logits: Tensor, ctx: LogitsContext) -> Tensor:
        """Guide the rows of this step."""
        table = self.table[ctx.expanded_idx_mapping]
        return readings_of(self.config).guide(logits, table, self.slots[ctx.idx_mapping_np])

"""transformers.Trainer over packed steps, each shared by several processes; alone, a process has all of it.

Adapters are small, so we sum their gradients once a step ourselves. DDP would require that every pass goes
through its own module and that all processes make as many of them; packs do neither. Weights sharded by FSDP2
are gathered and reduced as they are used, inside the model's own forward.
"""

from collections import Counter
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import register_fsdp_forward_method
from torch.utils.data import DataLoader, Dataset, SequentialSampler
from transformers import TrainingArguments

from genarm.system.metric_names import (
    ACCURACY,
    CHOSEN_LOGP,
    CHOSEN_REWARD,
    IMPLICIT_ACCURACY,
    IMPLICIT_MARGIN,
    LOSS,
    MARGIN,
    REJECTED_LOGP,
    REJECTED_REWARD,
)
from genarm.training.collate import PairBatch, collate
from genarm.training.logps import BatchFunction, pair_logps
from genarm.training.packing import PackedSteps
from genarm.training.process_group import all_reduce_sum, rank, world_size
from genarm.training.token_cache import TokenPairs
from genarm.training.transformers_hooks import HookedTrainer, disable_ddp

# Sums over the pairs of a step. The second tuple is of losses that subtract the start's log-probabilities.
LOGGED = ("pairs", LOSS, ACCURACY, MARGIN, CHOSEN_REWARD, REJECTED_REWARD, CHOSEN_LOGP, REJECTED_LOGP)
LOGGED_OVER_START = (IMPLICIT_ACCURACY, IMPLICIT_MARGIN)


class DistributedTrainer(HookedTrainer):
    """transformers.Trainer whose batch is a step of packs; a subclass gives the loss of one pack."""

    def __init__(
        self,
        model: nn.Module,
        arguments: TrainingArguments,
        steps: PackedSteps,
        data: TokenPairs,
        packed: bool,
        start: Tensor | None = None,
    ) -> None:
        self.adapted, self.steps, self.data, self.packed = model, steps, data, packed
        self.start = start  # [n, 2] log-probabilities before training, where the loss subtracts them
        self.logged = LOGGED if start is None else LOGGED + LOGGED_OVER_START
        self.sums: Counter[str] = Counter()  # of `logged`, over the pairs since the last log
        super().__init__(model=model, args=arguments, train_dataset=steps, data_collator=self._collate)
        disable_ddp(self)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Every process reads every step, and collates its own share of it."""
        return DataLoader(
            cast("Dataset[Any]", self.steps),
            batch_size=1,
            sampler=SequentialSampler(self.steps),
            collate_fn=self._collate,
        )

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Loss and gradient of one step: the mean over its pairs, however they are packed and shared.

        Each process sums the gradients of its packs, divided by the pairs of the whole step; their sum over
        the processes is the gradient of the mean. FSDP2 averages gradients of sharded weights over the
        processes, hence the factor.
        """
        pairs, total = inputs["pairs"], torch.zeros((), device=self.args.device)
        scale = world_size() if self.is_fsdp_enabled else 1
        for batch in inputs["packs"]:
            loss = self.compute_loss(model, {"pairs": batch.to(self.args.device)}) / pairs
            self.accelerator.backward(loss * scale)
            total += loss.detach()
        for batch in inputs["padding"]:
            loss = self.run_model(model, pair_logps, batch.to(self.args.device)).sum()
            self.accelerator.backward(0 * loss)
        self._all_reduce(total)
        return total

    def run_model(self, model: Any, function: BatchFunction, batch: PairBatch) -> Tensor:
        """function(model, batch), run as a forward pass of the model: sharded weights are then gathered."""
        return model.run_as_forward(function, batch) if self.is_fsdp_enabled else function(model, batch)

    def model_prepared(self, model: nn.Module) -> None:
        """Give a sharded model the method that `run_model` calls."""
        if self.is_fsdp_enabled:
            sharded = cast(Any, model)  # a module has no such method; this one gets it
            sharded.run_as_forward = MethodType(
                lambda this, function, batch: function(this, batch).clone(), model
            )
            register_fsdp_forward_method(sharded, "run_as_forward")

    def gather_weights(self) -> None:
        """Replace sharded weights that were trained by full ones, to be saved; all processes must call it."""
        if not self.is_fsdp_enabled:
            return
        for module in self.adapted.modules():
            for name, weight in module.named_parameters(recurse=False):
                if weight.requires_grad:
                    module.register_parameter(name, nn.Parameter(cast(Any, weight).full_tensor().cpu()))

    def _all_reduce(self, total: Tensor) -> None:
        """Sum over processes the loss, what is logged, and the gradients, unless FSDP2 has reduced them."""
        if world_size() == 1:
            return
        sums = torch.tensor([self.sums[n] for n in self.logged], dtype=torch.float64, device=total.device)
        tensors = [total, sums]
        if not self.is_fsdp_enabled:
            for parameter in self.adapted.parameters():
                if parameter.requires_grad:
                    if parameter.grad is None:  # this process has no pair of the step
                        parameter.grad = torch.zeros_like(parameter)
                    tensors.append(parameter.grad)
        all_reduce_sum(tensors)
        self.sums = Counter(dict(zip(self.logged, sums.tolist(), strict=True)))

    def _collate(self, items: list[list[list[int]]]) -> dict[str, Any]:
        """This process's share of a step: its packs, and `padding` passes that sharded weights require."""
        (step,) = items
        shares = self.steps.shares(step)
        share = shares[rank()]
        missing = max(map(len, shares)) - len(share) if self.is_fsdp_enabled else 0
        packs, padding = ([self._batch(pack) for pack in part] for part in (share, [step[0]] * missing))
        return {"pairs": sum(map(len, step)), "packs": packs, "padding": padding}

    def _batch(self, pack: list[int]) -> PairBatch:
        start = None if self.start is None else self.start[pack]
        return collate([self.data[i] for i in pack], packed=self.packed, start=start)

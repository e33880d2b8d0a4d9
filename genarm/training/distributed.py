"""One training step dealt to several processes, and put together again; alone, a process has all of it.

Adapters are small, so their gradients are added up once a step by ourselves. DDP would want forward passes
through its own module, as many on each process, and a backward pass that it knows of; packs are none of
that. Weights sharded by FSDP2 are gathered and reduced as they are used, inside the model's own forward.
"""

from collections import Counter
from functools import partial
from types import MethodType
from typing import Any, cast

import torch
from torch.distributed.fsdp import register_fsdp_forward_method
from torch.utils.data import DataLoader, Dataset, SequentialSampler
from transformers import Trainer, TrainingArguments

from genarm.training import process_group as ranks
from genarm.training.collate import PairBatch, collate
from genarm.training.logps import pair_logps
from genarm.training.packing import Plan
from genarm.training.token_cache import TokenPairs

WATCHED = ("pairs", "loss", "rewards/accuracies", "rewards/margins", "rewards/chosen", "rewards/rejected",
           "logps/chosen", "logps/rejected")  # fmt: skip


class SharedSteps(Trainer):
    """transformers.Trainer over whole steps, shared by all processes; `compute_loss` sums over a pack."""

    def __init__(
        self, model: Any, arguments: TrainingArguments, plan: Plan, data: TokenPairs, packed: bool
    ) -> None:
        self.adapted, self.plan, self.data, self.packed = model, plan, data, packed
        self.sums: Counter[str] = Counter()  # of WATCHED, over the pairs since the last log
        super().__init__(model=model, args=arguments, train_dataset=plan, data_collator=self._collate)
        self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Every process reads every step, and collates its own share of it."""
        return DataLoader(
            cast("Dataset[Any]", self.plan),
            batch_size=1,
            sampler=SequentialSampler(self.plan),
            collate_fn=self._collate,
        )

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Loss and gradient of one step: the mean over its pairs, however they are packed and dealt.

        Each process adds up the gradients of its packs over the pairs of the whole step; their sum over the
        processes is the gradient of the mean. Sharded weights are reduced as they go, to their mean.
        """
        pairs, total = inputs["pairs"], torch.zeros((), device=self.args.device)
        scale = ranks.count() if self.is_fsdp_enabled else 1
        for batch in inputs["packs"]:
            loss = self.compute_loss(model, {"pairs": batch.to(self.args.device)}) / pairs
            self.accelerator.backward(loss * scale)
            total += loss.detach()
        for batch in inputs["idle"]:
            loss = self.inside_of(model, pair_logps, batch.to(self.args.device)).sum()
            self.accelerator.backward(0 * loss)
        self._meet(total)
        return total

    def inside_of(self, model: Any, function: Any, batch: PairBatch) -> torch.Tensor:
        """function(model, batch), run as a forward pass of the model: sharded weights are then gathered."""
        gathered = self.is_fsdp_enabled
        found: torch.Tensor = model.inside(function, batch) if gathered else function(model, batch)
        return found

    def _prepare_for_training(self, *arguments: Any) -> Any:
        model, loader = super()._prepare_for_training(*arguments)
        if self.is_fsdp_enabled:
            model.inside = MethodType(lambda this, function, batch: function(this, batch).clone(), model)
            register_fsdp_forward_method(model, "inside")
        return model, loader

    def gather(self) -> None:
        """Make sharded weights that were trained whole again, to be saved; all processes must call it."""
        if not self.is_fsdp_enabled:
            return
        for module in self.adapted.modules():
            for name, weight in module.named_parameters(recurse=False):
                if weight.requires_grad:
                    module._parameters[name] = torch.nn.Parameter(weight.full_tensor().cpu())

    def _meet(self, total: torch.Tensor) -> None:
        """Sums over processes: of the loss, of what is logged, and of gradients that nobody else adds up."""
        if ranks.count() == 1:
            return
        sums = torch.tensor([self.sums[n] for n in WATCHED], dtype=torch.float64, device=total.device)
        found = [total, sums]
        if not self.is_fsdp_enabled:
            for parameter in self.adapted.parameters():
                if parameter.requires_grad:
                    if parameter.grad is None:  # no pair of this step came here
                        parameter.grad = torch.zeros_like(parameter)
                    found.append(parameter.grad)
        ranks.add_up(found)
        self.sums = Counter(dict(zip(WATCHED, sums.tolist(), strict=True)))

    def _collate(self, items: list[list[list[int]]]) -> dict[str, Any]:
        """What this process does of a step: its packs, and packs that it runs for company alone."""
        (step,) = items
        shares = self.plan.shares(step)
        own = shares[ranks.mine()]
        idle = [step[0]] * (max(map(len, shares)) - len(own)) if self.is_fsdp_enabled else []
        packs, company = (
            [collate([self.data[i] for i in pack], packed=self.packed) for pack in some]
            for some in (own, idle)
        )
        return {"pairs": sum(map(len, step)), "packs": packs, "idle": company}

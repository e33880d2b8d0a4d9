"""Held-out preference pairs, measured with a model by all processes of a training or by one alone."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genarm.data.lengths import longer_is_chosen
from genarm.system import metric_names as names
from genarm.training.collate import PairBatch, collate
from genarm.training.diagnostics import evaluation_diagnostics, kl_sample, kl_to_base
from genarm.training.logps import BatchFunction, pair_logps
from genarm.training.loss import Objective
from genarm.training.packing import deal, pack
from genarm.training.process_group import all_reduce_sum, rank, world_size
from genarm.training.tokens import TokenPair

TOKENS = 4096  # of a forward pass without gradients


class RunModel(Protocol):
    """Computes a function of the model and a batch, on the model's device."""

    def __call__(self, function: BatchFunction, batch: PairBatch) -> Tensor:
        """function(model, batch)."""
        ...


def metric_sums(logps: Tensor, losses: Tensor, *, beta: float) -> dict[str, float]:
    """Sums over pairs of the metrics, by the names of TRL; logps [p, 2], losses [p].

    A reward is beta times a summed log-probability whatever the loss is, since that is what decoding adds up.
    """
    chosen, rejected = logps.detach().double().unbind(1)
    margin = chosen - rejected
    return {
        names.LOSS: losses.detach().double().sum().item(),
        names.ACCURACY: ((margin > 0).sum() + 0.5 * (margin == 0).sum()).item(),
        names.MARGIN: beta * margin.sum().item(),
        names.CHOSEN_REWARD: beta * chosen.sum().item(),
        names.REJECTED_REWARD: beta * rejected.sum().item(),
        names.CHOSEN_LOGP: chosen.sum().item(),
        names.REJECTED_LOGP: rejected.sum().item(),
    }


class Validation:
    """Measures the same pairs each time; each process takes a share of the packs, and all get the same means.

    `lengths` [n, 3] are the tokens of prompt, chosen and rejected, so that pairs are read only when needed.
    `sharded` says that weights are sharded over the processes, which must then run as many forward passes.
    """

    def __init__(
        self,
        pairs: Sequence[TokenPair],
        lengths: npt.NDArray[np.int64],
        *,
        objective: Objective,
        packed: bool,
        sharded: bool = False,
    ) -> None:
        self._pairs, self._row_tokens = pairs, lengths.sum(1) - 2
        self._objective, self._packed, self._sharded = objective, packed, sharded
        self._packs = self._shares(range(len(pairs)))
        self._kl_packs = self._shares(kl_sample(lengths[:, 1:].sum(1).tolist()))
        self._chosen_tokens = float(lengths[:, 1].mean())
        # Prompts whose scores were no numbers in this process's last measurement.
        self.unscored: list[str] = []
        # log p(chosen) - log p(rejected) of every pair [p] at the last measurement, in all processes.
        self.margins: Tensor | None = None
        self.longer_is_chosen = longer_is_chosen(lengths[:, 1:].tolist())

    def metrics(self, run: RunModel, device: torch.device) -> dict[str, float]:
        """Means over pairs of loss, accuracy, rewards and log-probabilities, by the names of TRL.

        A mean over pairs of which some are `unscored` is no number, for each of the processes.
        """
        with torch.no_grad():
            none = torch.zeros(0, 3, dtype=torch.float64, device=device)
            scores = torch.cat([none, *self._run(self._packs, self._logps_and_losses, run, device)])
            measured = [i for pack in self._packs[rank()] for i in pack]
            prompts = (self._pairs[i].prompt_id for i in measured)
            sound = scores.isfinite().all(-1).tolist()
            self.unscored = [prompt for prompt, is_sound in zip(prompts, sound, strict=True) if not is_sound]
            sums = metric_sums(scores[:, :2], scores[:, 2], beta=self._objective.beta)
        totals = torch.tensor([*sums.values()], dtype=torch.float64, device=device)
        margins = torch.zeros(len(self._pairs), dtype=torch.float64, device=device)
        margins[measured] = scores[:, 0] - scores[:, 1]
        all_reduce_sum([totals, margins])
        self.margins = margins.cpu()
        return {name: total / len(self._pairs) for name, total in zip(sums, totals.tolist(), strict=True)}

    def kl_to_base(self, run: RunModel, device: torch.device) -> float:
        """Mean KL(ARM || base) in nats a response token, on a fixed sample; the model needs an adapter."""
        with torch.no_grad():
            distances = self._run(self._kl_packs, kl_to_base, run, device)
        sums = [sum(x.sum().item() for x in distances), float(sum(map(len, distances)))]
        totals = torch.tensor(sums, dtype=torch.float64, device=device)
        all_reduce_sum([totals])
        distance, tokens = totals.tolist()
        return float(distance / tokens)

    def diagnostics(
        self, metrics: Mapping[str, float], first: Mapping[str, float] | None
    ) -> dict[str, float]:
        """What `metrics` show beyond loss and accuracy; `first` is the first evaluation of the training."""
        tokens, longer = self._chosen_tokens, self.longer_is_chosen
        return evaluation_diagnostics(metrics, first, tokens=tokens, longer=longer)

    def _logps_and_losses(self, model: torch.nn.Module, batch: PairBatch) -> Tensor:
        """Log-probabilities of chosen and rejected, and the loss, of each pair -> [p, 3]."""
        logps = pair_logps(model, batch).double()
        return torch.cat([logps, self._objective.losses(logps, batch.owner)[:, None]], 1)

    def _shares(self, pairs: Sequence[int]) -> list[list[list[int]]]:
        """These pairs in packs -> the packs of each process."""
        tokens = self._row_tokens[list(pairs)]
        packs = pack(tokens.tolist(), max(TOKENS, int(tokens.max())), world_size())
        pair_packs = [[pairs[i] for i in part] for part in packs]
        return deal(pair_packs, [int(tokens[part].sum()) for part in packs], world_size())

    def _run(
        self, shares: list[list[list[int]]], function: BatchFunction, run: RunModel, device: torch.device
    ) -> list[Tensor]:
        """`function` of each pack of this process; results of padding passes are dropped."""
        share = shares[rank()]
        padding = [shares[0][0]] * (max(map(len, shares)) - len(share)) if self._sharded else []
        batches = (collate([self._pairs[i] for i in p], packed=self._packed) for p in [*share, *padding])
        return [run(function, batch.to(device)) for batch in batches][: len(share)]

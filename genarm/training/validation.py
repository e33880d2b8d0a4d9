"""Held-out preference pairs, measured with a model by all processes of a training or by one alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genarm.data.lengths import longer_is_chosen
from genarm.system import metric_names as names
from genarm.training.collate import PairBatch
from genarm.training.diagnostics import evaluation_diagnostics, kl_sample, kl_to_base
from genarm.training.forward_passes import ForwardPasses, RunModel
from genarm.training.logps import pair_logps
from genarm.training.loss import Objective
from genarm.training.margins import strata, sum_measures
from genarm.training.process_group import all_reduce_sum, world_size
from genarm.training.tokens import TokenPair


def metric_sums(
    logps: Tensor, losses: Tensor, *, beta: float, start: Tensor | None = None
) -> dict[str, float]:
    """Sums over pairs of the metrics, by the names of TRL; logps [p, 2], losses [p].

    A reward is beta times a summed log-probability whatever the loss is, so that trainings by different
    objectives compare. With `start` [p, 2], log-probabilities before training, the implicit reward's accuracy
    and margin in nats come with them.
    """
    chosen, rejected = logps.detach().double().unbind(1)
    margin = chosen - rejected
    implicit = {}
    if start is not None:
        gained = margin - (start[:, 0].double() - start[:, 1].double())
        implicit[names.IMPLICIT_ACCURACY] = ((gained > 0).sum() + 0.5 * (gained == 0).sum()).item()
        implicit[names.IMPLICIT_MARGIN] = gained.sum().item()
    return {
        **implicit,
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
    `start` [n, 2] are the log-probabilities before training, where the loss subtracts them.
    """

    def __init__(
        self,
        pairs: Sequence[TokenPair],
        lengths: npt.NDArray[np.int64],
        *,
        objective: Objective,
        packed: bool,
        sharded: bool = False,
        start: Tensor | None = None,
    ) -> None:
        def passes(indices: Sequence[int]) -> ForwardPasses:
            return ForwardPasses(
                *(pairs, lengths, indices),
                packed=packed,
                sharded=sharded,
                multiple=world_size(),
                start=start,
            )

        self._pairs, self._objective = pairs, objective
        self._passes = passes(range(len(pairs)))
        self._kl_passes = passes(kl_sample(lengths[:, 1:].sum(1).tolist()))
        self._chosen_tokens = float(lengths[:, 1].mean())
        # Prompts whose scores were no numbers in this process's last measurement.
        self.unscored: list[str] = []
        # log p(chosen) - log p(rejected) of every pair [p] at the last measurement, in all processes.
        self.margins: Tensor | None = None
        self.longer_is_chosen = longer_is_chosen(lengths[:, 1:].tolist())
        self.strata = strata(lengths[:, 1:])  # which pairs are of which length

    def metrics(self, run: RunModel, device: torch.device) -> dict[str, float]:
        """Means over pairs of loss, accuracy, rewards and log-probabilities, by the names of TRL.

        Beside them the calibration of the summed log-probability, and its accuracy by length.
        A mean over pairs of which some are `unscored` is no number, for each of the processes.
        """
        with torch.no_grad():
            none = torch.zeros(0, 3, dtype=torch.float64, device=device)
            scores = torch.cat([none, *self._passes.run(self._logps_and_losses, run, device)])
            measured = self._passes.indices
            prompts = (self._pairs[i].prompt_id for i in measured)
            sound = scores.isfinite().all(-1).tolist()
            self.unscored = [prompt for prompt, is_sound in zip(prompts, sound, strict=True) if not is_sound]
            sums = metric_sums(scores[:, :2], scores[:, 2], beta=self._objective.beta)
        totals = torch.tensor([*sums.values()], dtype=torch.float64, device=device)
        margins = torch.zeros(len(self._pairs), dtype=torch.float64, device=device)
        margins[measured] = scores[:, 0] - scores[:, 1]
        all_reduce_sum([totals, margins])
        self.margins = margins.cpu()
        means = {name: total / len(self._pairs) for name, total in zip(sums, totals.tolist(), strict=True)}
        return means | sum_measures(self.margins, self._objective.beta, self.strata)

    def kl_to_base(self, run: RunModel, device: torch.device) -> float:
        """Mean KL(ARM || base) in nats a response token, on a fixed sample; the model needs an adapter."""
        with torch.no_grad():
            distances = self._kl_passes.run(kl_to_base, run, device)
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
        return torch.cat([logps, self._objective.losses(logps, batch.owner, batch.start)[:, None]], 1)

"""The held-out pairs of a training, measured at each evaluation, by all of its processes together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from genarm.data.lengths import longer_is_chosen
from genarm.training import diagnostics as health
from genarm.training import process_group as ranks
from genarm.training.collate import PairBatch, collate
from genarm.training.evaluate import TOKENS, totals
from genarm.training.logps import pair_logps
from genarm.training.loss import Objective
from genarm.training.packing import deal, pack
from genarm.training.token_cache import TokenPairs

Inside = Callable[[Callable[[Any, PairBatch], torch.Tensor], PairBatch], torch.Tensor]


class Validation:
    """Each process measures a share of the packs; what comes out is of all pairs, and the same for all.

    `sharded` says that weights are spread over the processes, which must then run as many forward passes.
    """

    def __init__(self, pairs: TokenPairs, *, objective: Objective, packed: bool, sharded: bool) -> None:
        self._pairs, self._objective, self._packed, self._sharded = pairs, objective, packed, sharded
        self._packs = self._cut(list(range(len(pairs))))
        self._sample = self._cut(health.sample(pairs.lengths[:, 1:].sum(1).tolist()))
        self._longer = longer_is_chosen(pairs.lengths[:, 1:].tolist())
        self._chosen = float(pairs.lengths[:, 1].mean())

    def measure(
        self, inside: Inside, device: torch.device, first: Mapping[str, float] | None, *, adapter: bool
    ) -> dict[str, float]:
        """Means over pairs by the names of TRL, and the figures of `health`; `first` was logged first.

        `inside` runs a function of the model and a batch; without an `adapter` to take off, there is no KL.
        """
        with torch.no_grad():
            none = torch.zeros(0, 3, dtype=torch.float64, device=device)
            found = torch.cat([none, *self._run(self._packs, self._judged, inside, device)])
            sums = totals(found[:, :2], found[:, 2], beta=self._objective.beta)
            kl = self._run(self._sample, health.kl_to_base, inside, device) if adapter else []
        said = [*sums.values(), sum(x.sum().item() for x in kl), float(sum(map(len, kl)))]
        total = torch.tensor(said, dtype=torch.float64, device=device)
        ranks.add_up([total])
        *values, distance, tokens = total.tolist()
        means = {name: value / len(self._pairs) for name, value in zip(sums, values, strict=True)}
        means |= health.figures(means, first, tokens=self._chosen, longer=self._longer)
        return means | ({"kl_to_base": distance / tokens} if tokens else {})

    def _judged(self, model: Any, batch: PairBatch) -> torch.Tensor:
        """Log-probabilities and losses -> [p, 3]."""
        logps = pair_logps(model, batch).double()
        return torch.cat([logps, self._objective.losses(logps, batch.owner)[:, None]], 1)

    def _cut(self, chosen: Sequence[int]) -> list[list[list[int]]]:
        """These pairs in packs, dealt to the processes."""
        lengths = self._pairs.row_tokens[chosen]
        packs = pack(lengths.tolist(), max(TOKENS, int(lengths.max())), ranks.count())
        named = [[chosen[i] for i in part] for part in packs]
        return deal(named, [int(lengths[part].sum()) for part in packs], ranks.count())

    def _run(
        self, dealt: list[list[list[int]]], function: Any, inside: Inside, device: torch.device
    ) -> list[torch.Tensor]:
        """What `function` says of this process's packs; a pack too few is run for company and not counted."""
        own = dealt[ranks.mine()]
        idle = [dealt[0][0]] * (max(map(len, dealt)) - len(own)) if self._sharded else []
        batches = (collate([self._pairs[i] for i in p], packed=self._packed) for p in [*own, *idle])
        return [inside(function, batch.to(device)) for batch in batches][: len(own)]

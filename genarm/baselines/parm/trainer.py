"""PARM's training: each step at one preference vector, whose shares weigh the losses of the dimensions.

    L = sum_i p_i L_i(p),    L_i = mean over the step's pairs of dimension i of the ARM's loss, or of DPO's

p is drawn anew for each step, and the log-probabilities are those of the model at p (arXiv 2505.06274).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genarm.baselines.parm.adapter import PreferenceVector
from genarm.baselines.parm.mixing import MixedSteps, drawn_vector, joined
from genarm.baselines.parm.settings import ParmConfig
from genarm.config import TrainConfig
from genarm.system.metric_names import IMPLICIT_ACCURACY
from genarm.training.callbacks import Journal, quiet
from genarm.training.collate import PairBatch
from genarm.training.logps import pair_logps
from genarm.training.logps_at_start import Start
from genarm.training.margins_at_start import MarginsAtStart
from genarm.training.token_cache import TokenPairs
from genarm.training.trainer import ArmTrainer
from genarm.training.validation import Validation, metric_sums


def dimension_name(name: str, dimension: str) -> str:
    """The name of a metric on the pairs of one dimension, at the vector that is all that dimension."""
    return f"{name}/{dimension}"


class ParmTrainer(ArmTrainer):
    """The ARM's trainer on pairs of several dimensions, which are given in the vector's order."""

    def __init__(
        self,
        model: nn.Module,
        vector: PreferenceVector,
        config: TrainConfig,
        parm: ParmConfig,
        data: Mapping[str, TokenPairs],
        held_out: Mapping[str, TokenPairs],
        folder: Path,
        *,
        title: str,
        packed: bool,
        journal: Journal = quiet,
        start: Start | None = None,
    ) -> None:
        steps, together = MixedSteps([*data.values()], config), joined([*held_out.values()])
        super().__init__(
            *(model, config, joined([*data.values()]), together, folder),
            title=title,
            packed=packed,
            journal=journal,
            start=start,
            steps=steps,
        )
        self.mixed, self.parm, self.vector, self.dimensions = steps, parm, vector, [*data]
        self.objectives = [
            replace(self.objective, beta=parm.betas.get(name, config.beta)) for name in self.dimensions
        ]
        sizes = [len(pairs) for pairs in held_out.values()]
        starts = torch.split(start.held_out, sizes) if start else [None] * len(sizes)
        self.validations = [
            Validation(
                *(pairs, pairs.lengths),
                objective=objective,
                packed=packed,
                sharded=self.is_fsdp_enabled,
                start=at_start,
            )
            for pairs, objective, at_start in zip(held_out.values(), self.objectives, starts, strict=True)
        ]
        self.margins = [
            MarginsAtStart(folder / "start" / str(i), beta=objective.beta, parts=validation.strata)
            for i, (objective, validation) in enumerate(zip(self.objectives, self.validations, strict=True))
        ]

    def one_hot(self, dimension: str) -> Tensor:
        """The vector that is all one dimension [k]."""
        return torch.eye(len(self.dimensions))[self.dimensions.index(dimension)]

    def training_step(self, *arguments: Any, **more: Any) -> Tensor:
        """Loss and gradient of one step, at the vector that is drawn for it."""
        step = self.state.global_step
        drawn = drawn_vector(self.config.seed, step, len(self.dimensions), self.parm.concentration)
        counts = self.mixed.counts(step)
        # The step's mean over all pairs of losses times these is sum_i p_i L_i.
        self.weights = drawn * counts.sum() / counts
        with self.vector.at(drawn):
            return super().training_step(*arguments, **more)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The weighted sum of the losses of one pack. Raises TrainingError where it is not finite."""
        batch: PairBatch = inputs["pairs"]
        assert batch.dimension is not None
        logps = self.run_model(model, pair_logps, batch)
        losses = torch.stack([o.losses(logps, batch.owner, batch.start) for o in self.objectives])  # [k, p]
        losses = losses.gather(0, batch.dimension[None])[0] * self.weights.to(losses)[batch.dimension]
        if not torch.isfinite(losses).all():
            raise self._not_finite("the loss", self.state.global_step + 1, batch.prompt_ids)
        self.step_prompts += batch.prompt_ids
        sums = metric_sums(logps, losses, beta=self.config.beta, start=batch.start)
        self.sums.update({**sums, "pairs": len(batch)})
        return losses.sum()

    def measure(
        self, validation: Validation, at_start: MarginsAtStart, first: Mapping[str, float] | None
    ) -> dict[str, float]:
        """Metrics of each dimension's pairs at the vector that is all that dimension, and their means."""
        by_dimension = {}
        for dimension, own, margins in zip(self.dimensions, self.validations, self.margins, strict=True):
            with self.vector.at(self.one_hot(dimension)):
                by_dimension[dimension] = super().measure(own, margins, _of(first, dimension))
        validation.unscored = [prompt for own in self.validations for prompt in own.unscored]
        common = set.intersection(*(set(metrics) for metrics in by_dimension.values()))
        of_each: Sequence[Mapping[str, float]] = [*by_dimension.values()]
        means = {name: sum(m[name] for m in of_each) / len(of_each) for name in of_each[0] if name in common}
        return means | {
            dimension_name(name, dimension): value
            for dimension, metrics in by_dimension.items()
            for name, value in metrics.items()
        }

    def implicit_accuracy_elsewhere(self) -> dict[tuple[str, str], float]:
        """Implicit accuracy on one dimension's pairs, the first, at the vector that is all another.

        Where it is what it is at the dimension's own vector, the vector makes no difference.
        """
        self.adapted.eval()
        run, found = partial(self.run_model, self.adapted), {}
        for dimension, own, at_start in zip(self.dimensions, self.validations, self.margins, strict=True):
            for other in (name for name in self.dimensions if name != dimension):
                with self.vector.at(self.one_hot(other)):
                    own.metrics(run, self.args.device)
                metrics = at_start.metrics(own.margins, self.state.global_step)
                if IMPLICIT_ACCURACY in metrics:
                    found[dimension, other] = metrics[IMPLICIT_ACCURACY]
        return found

    def _batch(self, pack: list[int]) -> PairBatch:
        return replace(super()._batch(pack), dimension=torch.from_numpy(self.mixed.dimension[pack]))


def _of(row: Mapping[str, float] | None, dimension: str) -> dict[str, float] | None:
    """The metrics of one dimension in a row of the curves, by the names that one training gives them."""
    if row is None:
        return None
    end = dimension_name("", dimension)
    return {name.removesuffix(end): value for name, value in row.items() if name.endswith(end)}

"""What the models of an experiment are worth, and what their training took: means over their seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genarm.evaluation.win_rate import Z_TWO_SIDED, wilson
from genarm.experiments.load import Experiment
from genarm.system import metric_names as names
from genarm.system.files import read_json
from genarm.types import Estimate

MOST_PERPLEXITY = 2.0  # times the base's: a weak model that is worse makes an experiment a smoke test
# Accuracy, that of "longer", and the pairs behind both: of a reward model, of models by our trainer.
ACCURACIES = (
    (names.JUDGE_ACCURACY, names.JUDGE_LONGER, names.JUDGE_PAIRS),
    (f"validation/{names.IMPLICIT_ACCURACY}", f"validation/{names.LONGER_IS_CHOSEN}", "validation/pairs"),
    ("validation/accuracy", f"validation/{names.LONGER_IS_CHOSEN}", "validation/pairs"),
)


@dataclass(frozen=True, slots=True)
class Model:
    """One trained model. `accuracy`: how often it prefers the chosen response of validation pairs.

    The interval of the accuracy is over pairs. `smoke` says why results with it are a smoke test, or nothing.
    """

    name: str
    trainer: str
    seeds: int
    accuracy: Estimate | None
    longer: float | None  # what preferring the longer response would get
    perplexity: float | None  # of a weak model, on responses that were held out
    base_perplexity: float | None
    smoke: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    def took(self, what: str) -> float:
        """Seconds, pairs, responses or texts of its training; 0 for what it has none of."""
        return self.metrics.get(f"train/{what}", 0.0)


def models(experiment: Experiment) -> dict[str, Model]:
    """Every model that is trained for some row, in the order of the file."""
    used = {model for row in experiment.config.methods for model in experiment.all_models(row)}
    made = [model for model in experiment.config.models if model in used and experiment.is_made(model)]
    return {name: _model(experiment, name) for name in made}


def _model(experiment: Experiment, name: str) -> Model:
    seeds = experiment.model_seeds(name)
    found = _mean([read_json(experiment.place.training(name, seed), dict[str, float]) for seed in seeds])
    own, base = found.get("perplexity/healed"), found.get("perplexity/base")
    smoke = ""
    if own is not None and base is not None and not own < MOST_PERPLEXITY * base:
        smoke = (
            f"the perplexity of {name} is {own:.3g}, {own / base:.1f} times the base's {base:.3g}: "
            f"from {MOST_PERPLEXITY:g} times on, results with it are a smoke test"
        )
    accuracy, longer = _accuracy(found)
    trainer = experiment.config.models[name].trainer
    return Model(name, trainer, len(seeds), accuracy, longer, own, base, smoke, found)


def _accuracy(metrics: Mapping[str, float]) -> tuple[Estimate | None, float | None]:
    """The accuracy with Wilson's interval, and that of "longer"."""
    for name, longer, pairs in ACCURACIES:
        if name in metrics and metrics.get(pairs):
            value, n = metrics[name], metrics[pairs]
            return Estimate(value, wilson(value, round(n), Z_TWO_SIDED), round(n)), metrics.get(longer)
    return None, None


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over seeds of each number that all of them have."""
    shared = sorted(set(metrics[0]).intersection(*metrics[1:]))
    return {name: sum(m[name] for m in metrics) / len(metrics) for name in shared}


def model_notes(found: Mapping[str, Model]) -> list[str]:
    """What a reader must know of models before rows that are made of them."""
    notes = [model.smoke for model in found.values() if model.smoke]
    for model in found.values():
        if model.accuracy is None or model.trainer != "reward":
            continue
        low, longer = model.accuracy.interval[0], model.longer
        if low <= 0.5:
            notes.append(f"{model.name} is not told from a coin on the validation pairs: {model.accuracy}")
        elif longer is not None and low <= longer:
            notes.append(
                f"{model.name} is not told from preferring the longer response ({longer:.2f}): "
                f"{model.accuracy} on the validation pairs"
            )
    return notes

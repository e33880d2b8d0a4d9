"""The unit `tune-*`: settings of a row tried on validation prompts, and the best of them."""

import logging

from genarm.errors import DataError
from genarm.evaluation.shown_limits import text_faults
from genarm.evaluation.text_health import text_health
from genarm.experiments.answer import open_method, responses
from genarm.experiments.drift import drift_faults
from genarm.experiments.least import least, measured
from genarm.experiments.load import Experiment
from genarm.experiments.tuned import Chosen, Tried
from genarm.judges import load_with_origin
from genarm.pipeline.validation import over_base
from genarm.system.files import read_rows, write_json
from genarm.types import Prompt, Response

log = logging.getLogger(__name__)


def tune(experiment: Experiment, row: str) -> None:
    """Try every combination of a row's `tune`, and write the one with the highest win rate over the base.

    Of those whose text and KL keep the limits; where none does, the one with the least KL. The gold judge of
    the first dimension judges, and models of the first training seed are tried. With `constrain`, the least
    value that meets it is taken, by the gold judge of its dimension.
    """
    config, place = experiment.config, experiment.place
    constraint = config.methods[row].constrain
    few = config.methods[row].tune_prompts
    prompts = read_rows(place.validation, Prompt)[:few]
    base = read_rows(place.base_on_validation, Response)[:few]
    dimension = constraint.dimension if constraint else next(iter(config.judges))
    judge = load_with_origin(config.judges[dimension].gold, place.root).judge
    curve: list[Tried] = []
    for varied in experiment.candidates(row):
        settings = experiment.shown_settings(row, varied)
        method = open_method(experiment, row, config.seeds[0], settings)
        found = responses(experiment, method, prompts, f"tune {row}")
        del method  # two models need not be in memory together
        (judged,) = over_base(prompts, base, [found], judge)
        own = text_health("challenger", found)
        curve.append(
            Tried(
                settings=varied,
                win_rate=judged.win_rate,
                kl=own.kl,
                perplexity=own.perplexity,
                repetition=own.repetition,
                faults=[
                    *text_faults(base, found, config.tuning.max_health_ratio),
                    *drift_faults(found, config.tuning.max_kl, settings),
                ],
            )
        )
        if constraint:
            curve[-1] = measured(curve[-1], constraint, len(curve) - 1, judged, prompts, found, judge)
    if constraint is None:
        write_json(place.tuned(row), choose(curve))
        return
    try:
        chosen = least(row, curve, constraint)
    except DataError as error:
        log.warning("%s", error)
        chosen = Chosen({}, False, curve, refused=str(error))
    write_json(place.tuned(row), chosen)


def choose(curve: list[Tried]) -> Chosen:
    """The highest win rate among those within the limits; of equal ones, the one with less KL."""
    within = [tried for tried in curve if not tried.faults]
    if within:
        best = max(within, key=lambda tried: (tried.win_rate.value, -tried.kl))
    else:
        best = min(curve, key=lambda tried: tried.kl)
    return Chosen(best.settings, bool(within), curve)

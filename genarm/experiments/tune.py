"""The unit `tune-*`: settings of a row tried on validation prompts, and those that are taken."""

import logging
import shutil
from collections.abc import Mapping
from typing import Any

from genarm.errors import DataError
from genarm.experiments import search
from genarm.experiments.config import TuningConfig
from genarm.experiments.drift import is_greedy, stands_at
from genarm.experiments.least import least, measured
from genarm.experiments.load import Experiment
from genarm.experiments.row_config import ConstraintConfig, RangeConfig
from genarm.experiments.search import Aim, Point
from genarm.experiments.trial import Trials
from genarm.experiments.tuned import Chosen, Tried
from genarm.system.files import write_json

log = logging.getLogger(__name__)


def tune(experiment: Experiment, row: str, spec: Mapping[str, Any]) -> None:
    """Try settings of a row, and write those that are taken with all that were tried.

    Of lists, every combination is tried and the one with the highest win rate over the base is taken, among
    those whose text and KL keep the limits; where none does, the one with the least KL. A range is searched
    for the KL that `tuning.kl` names. With `constrain`, the least value that meets it is taken, by the gold
    judge of its dimension. The gold judge of the first dimension judges all else, and models of the first
    training seed are tried. What a killed unit has answered is kept until all is written.
    """
    own, tuning = experiment.config.methods[row], experiment.config.tuning
    trials = Trials.of(experiment, row, spec)
    if own.constrain:
        chosen = constrained(trials, own.constrain)
    elif own.searched:
        chosen = searched(trials, *own.searched, tuning)
    else:
        curve = [trials.make(varied).tried for varied in experiment.candidates(row)]
        chosen = choose(curve, tuning, greedy=is_greedy(experiment.shown_settings(row)))
    write_json(experiment.place.tuned(row), chosen)
    shutil.rmtree(experiment.place.kept_trials(row), ignore_errors=True)


def searched(trials: Trials, setting: str, within: RangeConfig, tuning: TuningConfig) -> Chosen:
    """The strength at which the row stands at the KL, or the nearest tried and why it is not there."""
    assert tuning.kl is not None  # checked as the file is read
    aim = Aim(tuning.kl, tuning.tolerance, within.from_, within.to, tuning.tries)
    points, curve = list[Point](), dict[float, Tried]()
    while (strength := search.next_strength(aim, points)) is not None:
        trial = trials.make({setting: strength})
        curve[strength] = trial.tried
        points.append(Point(strength, trial.tried.kl, trial.text))
        log.info("%s: %s %g has KL %.3g of %g", trials.row, setting, strength, trial.tried.kl, aim.kl)
    taken = curve[search.nearest(aim, points).strength]
    why = search.missed(aim, points)
    return Chosen(taken.settings, not taken.faults, list(curve.values()), missed=why)


def constrained(trials: Trials, constraint: ConstraintConfig) -> Chosen:
    """The least value that meets a constraint; where none does, a choice that is refused."""
    curve = list[Tried]()
    for number, varied in enumerate(trials.experiment.candidates(trials.row)):
        made = trials.make(varied)
        curve.append(
            measured(made.tried, constraint, number, made.judged, trials.prompts, made.answers, trials.judge)
        )
    try:
        return least(trials.row, curve, constraint)
    except DataError as error:
        log.warning("%s", error)
        return Chosen({}, False, curve, refused=str(error))


def choose(curve: list[Tried], tuning: TuningConfig, *, greedy: bool = False) -> Chosen:
    """The highest win rate among those within the limits; of equal ones, the one with less KL."""
    within = [tried for tried in curve if not tried.faults]
    if within:
        best = max(within, key=lambda tried: (tried.win_rate.value, -tried.kl))
    else:
        best = min(curve, key=lambda tried: tried.kl)
    missed = None
    if tuning.kl is not None and greedy:
        missed = "it is greedy, so that its KL tells of one text only"
    elif tuning.kl is not None and not stands_at(best.kl, tuning.kl, tuning.tolerance):
        missed = f"the {len(curve)} settings that it may try are a list"
    return Chosen(best.settings, bool(within), curve, missed=missed)

"""Settings of a row tried on validation prompts: answered, judged against the base, and measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genarm.evaluation.shown_limits import text_faults
from genarm.evaluation.text_health import text_health
from genarm.experiments.answer import model_hashes, open_method, responses
from genarm.experiments.drift import drift_faults
from genarm.experiments.load import Experiment
from genarm.experiments.tuned import Tried
from genarm.judges import Judge, load_with_origin
from genarm.pipeline.kept import kept
from genarm.pipeline.project import Project
from genarm.pipeline.validation import over_base
from genarm.system.files import read_rows, sha256
from genarm.types import Comparison, Prompt, Response


@dataclass(frozen=True, slots=True)
class Trial:
    """What settings came to; `text` are the limits of the text among the faults of `tried`."""

    tried: Tried
    text: list[str]
    judged: Comparison
    answers: list[Response]


@dataclass(frozen=True)
class Trials:
    """The trials of one row: its prompts, the base's answers to them, and who judges."""

    experiment: Experiment
    row: str
    spec: Mapping[str, Any]
    prompts: list[Prompt]
    base: list[Response]
    judge: Judge

    @classmethod
    def of(cls, experiment: Experiment, row: str, spec: Mapping[str, Any]) -> "Trials":
        """Those of a row whose unit has this `spec`."""
        config, place = experiment.config, experiment.place
        few, constraint = config.methods[row].tune_prompts, config.methods[row].constrain
        dimension = constraint.dimension if constraint else next(iter(config.judges))
        return cls(
            experiment,
            row,
            spec,
            read_rows(place.validation, Prompt)[:few],
            read_rows(place.base_on_validation, Response)[:few],
            load_with_origin(config.judges[dimension].gold, place.root).judge,
        )

    def make(self, varied: Mapping[str, Any]) -> Trial:
        """Try these settings, with the models of the first training seed."""
        tuning = self.experiment.config.tuning
        settings = self.experiment.shown_settings(self.row, varied)
        answers = self._answers(settings)
        (judged,) = over_base(self.prompts, self.base, [answers], self.judge)
        own, text = (
            text_health("challenger", answers),
            text_faults(self.base, answers, tuning.max_health_ratio),
        )
        tried = Tried(
            settings=varied,
            win_rate=judged.win_rate,
            kl=own.kl,
            perplexity=own.perplexity,
            repetition=own.repetition,
            faults=[*text, *drift_faults(answers, tuning.furthest, settings)],
        )
        return Trial(tried, text, judged, answers)

    def _answers(self, settings: Mapping[str, Any]) -> list[Response]:
        """The answers under some settings, kept for the next run of a unit that is killed."""
        experiment, row = self.experiment, self.row
        seed = experiment.config.seeds[0]
        depends_on = {
            **self.spec,
            "settings": settings,
            "models": model_hashes(experiment, row, seed),
            "validation": sha256(experiment.place.validation),
        }

        def make() -> list[Response]:
            method = open_method(experiment, row, seed, settings)  # only here: two need not be in memory
            return responses(experiment, method, self.prompts, f"tune {row}")

        folder = Project(experiment.place.kept_trials(row))  # for its folder alone
        return kept(folder, "tune", depends_on, Response, make)

"""The prompts that a strength is chosen on, and the answers to them judged against the base's."""

from collections.abc import Sequence

from genarm.errors import DataError
from genarm.evaluation.win_rate import win_rate
from genarm.judges import Judge
from genarm.judges import judge as compare
from genarm.pipeline.project import Project
from genarm.system.files import read_rows
from genarm.types import Comparison, PreferencePair, Prompt, Response


def validation_prompts(project: Project, dimensions: Sequence[str], most: int) -> list[Prompt]:
    """The validation prompts of these dimensions, each once, at most so many, in the order of their ids.

    A prompt that the decision is made on is left out. Raises DataError where none is left.
    """
    layout = project.layout
    held_out = {
        pair.prompt.id
        for d in dimensions
        for pair in read_rows(layout.pairs(d, "evaluation"), PreferencePair)
    }
    found = {
        pair.prompt.id: pair.prompt
        for d in dimensions
        for pair in read_rows(layout.pairs(d, "validation"), PreferencePair)
        if pair.prompt.id not in held_out
    }
    if not found:
        raise DataError(
            f"the validation split of {', '.join(dimensions)} has no prompt that is not evaluated, too",
            hint="raise pairs.validation in params.yaml, or give a number as the weight",
        )
    return [found[key] for key in sorted(found)][:most]


def over_base(
    prompts: Sequence[Prompt], base: Sequence[Response], guided: Sequence[Sequence[Response]], judge: Judge
) -> list[Comparison]:
    """The win rate over the base's answers of each of these guided ones.

    One judge after the other, since two that are large models need not stay in memory together.
    """
    return [
        win_rate(compare(prompts, {"base": base, "challenger": answers}, {"": judge})) for answers in guided
    ]

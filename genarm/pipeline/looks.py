"""How far each dimension's test has gone: after how many prompts it was looked at, for DVC to see.

`mlflow/looks.json` has for each dimension the numbers of prompts after each look, such as [120, 180, 240],
and null where a run decides once. Base, champion and challenger answer, and judges judge, the first
`respond.prompts` prompts, then each further batch by itself. So a response never depends on how a run got
there: killed or not, by the flow or by `dvc repro`, the same looks give the same files.
"""

from genarm.errors import DataError
from genarm.pipeline.project import Project
from genarm.types import Prompt


def batches(project: Project, dimension: str | None = None) -> list[list[Prompt]]:
    """The prompts that one dimension's sides answer, look by look; without one, those of the base."""
    prompts, until = project.prompts(dimension), project.looks(dimension)
    return [prompts[a:b] for a, b in zip([0, *until], until, strict=False)] if until else [prompts]


def looks_so_far(project: Project, dimension: str) -> tuple[int, int] | None:
    """The looks taken and the most prompts, for the test; None where a run decides once.

    Raises DataError where the looks are not those of these parameters, as after they were changed by hand.
    """
    most, until = project.params.decide.max_prompts, project.looks(dimension)
    if until and until[-1] > (most or 0):
        raise DataError(
            f"{project.layout.looks}: {dimension} was looked at after {until[-1]} prompts, and "
            f"decide.max_prompts is {most or 'null'}",
            hint="start the looks again: genarm run",
        )
    return None if most is None else (max(1, len(until)), most)

"""How well a trained ARM agrees with preferences that it was not trained on."""

from pathlib import Path

from genarm.operations.human_pairs import read_pairs
from genarm.pipeline.project import Project


def accuracy(project: Project, dimension: str, file: Path) -> dict[str, float]:
    """How often the trained ARM prefers the chosen response, on any file of preference pairs.

    By its log-probability and by what it learned, beside "longer is chosen", as `evaluate_arm` measures them.
    `refused` counts the rows that `read_pairs` finds to be no pairs. Over-long pairs are an error, since none
    is ever cut.
    """
    from genarm.training.evaluate import evaluate_arm

    params = project.params
    read = read_pairs(file, params.dimensions[params.known(dimension)].data)
    measured = evaluate_arm(project.base, project.layout.arm(dimension), read.pairs, dtype=params.base.dtype)
    return measured | {"refused": float(sum(read.refused.values()))}

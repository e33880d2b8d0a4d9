"""How well a trained ARM agrees with preferences that it was not trained on."""

from pathlib import Path

from genarm.data.formats import parse
from genarm.data.mapping import ColumnMap
from genarm.data.recognise import recognise, recognised
from genarm.data.refused import Refused
from genarm.data.rows import read_file
from genarm.pipeline.project import Project


def accuracy(project: Project, dimension: str, file: Path) -> dict[str, float]:
    """How often the trained ARM prefers the chosen response, on any file of preference pairs.

    By its log-probability and by what it learned, beside "longer is chosen", as `evaluate_arm` measures them.
    Its columns are those of the dimension's source, or such as `recognise` finds. `refused` counts the rows
    that are no pairs of any known format. Over-long pairs are an error, since none is ever cut.
    """
    from genarm.training.evaluate import evaluate_arm

    params = project.params
    source = params.dimensions[params.known(dimension)].data
    found = recognised(file, file.name, source.columns.by_part())
    columns = ColumnMap((found if found.format else recognise(file, file.name)).columns, file.name)
    pairs, refused = [], 0
    for row in read_file(file, file.name, columns.columns):
        try:
            pairs.append(parse(columns.row(row.value), preferred=source.preferred))
        except Refused:
            refused += 1
    measured = evaluate_arm(project.base, project.layout.arm(dimension), pairs, dtype=params.base.dtype)
    return measured | {"refused": float(refused)}

"""What the last `decide` measured of a challenger, as the registry records it."""

from genarm.evaluation.measures import measures
from genarm.pipeline.project import Project
from genarm.system.files import read_json
from genarm.types import Scorecard


def measured(project: Project, dimension: str) -> dict[str, float]:
    """Name -> value of every number behind the decision on a dimension. Raises DataError where it is lost."""
    scorecards = read_json(project.layout.scorecards, dict[str, Scorecard])
    return measures([*scorecards.values()]).get(dimension, {})

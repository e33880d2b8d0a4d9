"""The stage `pairs`: the preference data of one dimension to checked pairs, split by conversation."""

from genarm.data.pairs import make_pairs, write_pairs
from genarm.models import load_tokenizer
from genarm.pipeline.project import Project
from genarm.system.files import read_json


def pairs(project: Project, dimension: str) -> dict[str, object]:
    """data/ -> artifacts/pairs/<dimension>, with refused rows in a quarantine file; returns the counts.

    Raises DataError where too many rows are refused or a split is empty.
    """
    layout, params = project.layout, project.params
    source = params.dimensions[params.known(dimension)].data
    result = make_pairs(layout.data, dimension, source, params.pairs, load_tokenizer(project.base))
    write_pairs(layout, result)
    return read_json(layout.pairs_stats(dimension), dict[str, object])

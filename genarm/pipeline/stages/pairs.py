"""The stage `pairs`: preference data to checked pairs, split by conversation."""

from genarm.data.pairs import make_pairs, write_pairs
from genarm.models import load_tokenizer
from genarm.pipeline.project import Project
from genarm.system.files import read_json


def pairs(project: Project) -> dict[str, object]:
    """data/ -> artifacts/pairs, with refused rows in a quarantine file; returns the counts.

    Raises DataError where too many rows are refused or a split is empty.
    """
    layout, params = project.layout, project.params
    tokenizer = load_tokenizer(project.base)
    config = params.pairs
    results = {d: make_pairs(layout.data, d, config.sources[d], config, tokenizer) for d in params.dimensions}
    write_pairs(layout, results)
    return read_json(layout.pairs_stats, dict[str, object])

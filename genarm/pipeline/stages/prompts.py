"""The stage `prompts`: the evaluation prompts of all dimensions, each once."""

from genarm.pipeline.project import Project
from genarm.system.files import read_rows, write_rows
from genarm.types import PreferencePair, Prompt


def prompts(project: Project) -> list[Prompt]:
    """artifacts/pairs/*/evaluation.jsonl -> artifacts/prompts.jsonl.

    Prompts stand in the order of their ids. An id is a hash, so the first n of them are a fair sample of all.
    """
    layout = project.layout
    found: dict[str, Prompt] = {}
    for dimension in project.params.dimensions:
        for pair in read_rows(layout.pairs(dimension, "evaluation"), PreferencePair):
            found[pair.prompt.id] = pair.prompt
    ordered = [found[key] for key in sorted(found)]
    write_rows(layout.prompts, ({"id": p.id, "messages": p.messages} for p in ordered))
    return ordered

"""The stage `prompts`: the evaluation prompts of all dimensions, each once, then those of `decide.extra`."""

import logging
from pathlib import Path

from genarm.data.pairs import conversation_id
from genarm.data.prompts import read_prompts
from genarm.pipeline.project import Project
from genarm.system.files import read_rows, write_rows
from genarm.types import PreferencePair, Prompt

log = logging.getLogger(__name__)


def prompts(project: Project) -> list[Prompt]:
    """artifacts/pairs/*/evaluation.jsonl and the file `decide.extra` -> artifacts/prompts.jsonl.

    Prompts stand in the order of their ids. An id is a hash, so the first n of them are a fair sample of all;
    those of `decide.extra` come after the others. Raises DataError where that file cannot be read.
    """
    layout = project.layout
    found: dict[str, Prompt] = {}
    for dimension in project.params.dimensions:
        for pair in read_rows(layout.pairs(dimension, "evaluation"), PreferencePair):
            found[pair.prompt.id] = pair.prompt
    ordered = [found[key] for key in sorted(found)]
    if (name := project.params.decide.extra) is not None:
        ordered += _extra(project, name)
    write_rows(layout.prompts, ({"id": p.id, "messages": p.messages} for p in ordered))
    return ordered


def _extra(project: Project, name: str) -> list[Prompt]:
    """The further prompts, without those whose conversation is in any split.

    An ARM or a judge may have learned from it, as later turns hold the responses to earlier ones.
    """
    listed = read_prompts(project.root / name, name)
    new = {p.id: p for p in listed}
    splits = sorted(f for d in project.params.dimensions for f in _splits(project, d))
    seen = {conversation_id(pair.prompt) for file in splits for pair in read_rows(file, PreferencePair)}
    left = sorted(key for key, prompt in new.items() if conversation_id(prompt) not in seen)
    twice, of_pairs = len(listed) - len(new), len(new) - len(left)
    if twice or of_pairs:
        log.warning(
            "%s: %d of %d prompts are new; "
            "left out are %d of the pairs' conversations and %d that stand there twice",
            *(name, len(left), len(listed), of_pairs, twice),
        )
    return [new[key] for key in left]


def _splits(project: Project, dimension: str) -> list[Path]:
    folder = project.layout.pairs(dimension, "train").parent
    return [file for file in folder.glob("*.jsonl") if file != project.layout.quarantine(dimension)]

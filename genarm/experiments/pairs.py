"""The units `pairs-*` and `prompts`: data files to pairs by split, and the prompts that are answered."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genarm.data.pairs import check_pairs, conversation_id, make_pairs
from genarm.data.prompts import read_prompts
from genarm.errors import DataError
from genarm.experiments.load import Experiment
from genarm.judges import Judge, load_judge
from genarm.judges.base import preference
from genarm.models import load_tokenizer
from genarm.system.files import read_rows, write_json, write_rows
from genarm.types import PreferencePair, Prompt, Response, Split

log = logging.getLogger(__name__)


def write_pairs(experiment: Experiment, dimension: str) -> None:
    """The pairs of one dimension, a file a split, with the rows that were refused and why.

    Raises DataError where too many rows were refused or a split is empty.
    """
    data, folder = experiment.data(dimension), experiment.place.pairs(dimension)
    tokenizer = load_tokenizer(experiment.base)
    result = make_pairs(
        experiment.place.root / data.folder, dimension, data, experiment.pairs_config, tokenizer
    )
    write_rows(folder / "quarantine.jsonl", result.refused)
    check_pairs(result, f"{folder.name}/quarantine.jsonl names every row")
    stats, splits = result.stats, result.splits
    if data.relabel is not None:
        judge = load_judge(data.relabel, experiment.place.root)
        splits = {split: relabelled(pairs, judge) for split, pairs in splits.items()}
        stats = replace(stats, labelled_by=[data.relabel.name])
        tied = sum(map(len, result.splits.values())) - sum(map(len, splits.values()))
        log.info(
            "%s: %s labelled the pairs anew, %d are ties and left out", dimension, data.relabel.name, tied
        )
    write_json(folder / "stats.json", stats)
    for split, pairs in splits.items():
        if not pairs:
            raise DataError(f"no {split} pair of {dimension} is left", hint="every pair of it was a tie")
        write_rows(folder / f"{split}.jsonl", pairs)


def relabelled(pairs: Sequence[PreferencePair], judge: Judge) -> list[PreferencePair]:
    """The pairs with the response that a judge prefers as the chosen one; ties are left out."""
    found = []
    for pair in pairs:
        chosen, rejected = (
            Response(pair.prompt.id, text, 0, "stop", 0.0, 0.0) for text in (pair.chosen, pair.rejected)
        )
        said = preference(judge, pair.prompt, chosen, rejected)
        if said:
            found.append(pair if said > 0 else PreferencePair(pair.prompt, pair.rejected, pair.chosen))
    return found


def write_prompts(experiment: Experiment) -> None:
    """The evaluation prompts and the validation prompts; none goes on from a conversation of another split.

    Raises DataError where one of them does, where a prompt stands twice, or where too few are left.
    """
    place, config = experiment.place, experiment.config
    evaluation = _by_id(_of_split(experiment, "evaluation"))
    if config.prompts.file:
        asked = prompts_of_file(place.root / config.prompts.file, config.prompts.file)
    else:
        asked = [evaluation[key] for key in sorted(evaluation)]
    asked = asked[: config.prompts.n]
    for split in ("train", "validation"):
        _none_goes_on(asked, split, _of_split(experiment, split))
    validation = _by_id(_of_split(experiment, "validation"))
    tried = [validation[key] for key in sorted(validation)]
    if len(asked) < 2 or not tried:
        raise DataError(
            f"{len(asked)} evaluation prompts and {len(tried)} validation prompts are too few",
            hint="raise pairs.evaluation and pairs.validation, or give more data",
        )
    write_rows(place.prompts, asked)
    write_rows(place.validation, tried[: config.tuning.prompts])


def prompts_of_file(path: Path, name: str) -> list[Prompt]:
    """The prompts of a file, each of which stands there once: twice the same would count as two.

    Raises DataError naming both rows where one stands twice, and what `read_prompts` raises.
    """
    prompts, first = read_prompts(path, name), dict[str, int]()
    for number, prompt in enumerate(prompts, start=1):
        if (before := first.setdefault(prompt.id, number)) != number:
            raise DataError(
                f"{name}: prompt {number} is prompt {before} again", hint="remove one of them from the file"
            )
    return prompts


def _none_goes_on(asked: Sequence[Prompt], split: Split, prompts: Sequence[Prompt]) -> None:
    """Raise DataError where a prompt has the first turn of a conversation that models have seen."""
    known = {conversation_id(prompt) for prompt in prompts}
    if seen := [number for number, p in enumerate(asked, start=1) if conversation_id(p) in known]:
        what = {"train": "training", "validation": "validation"}[split]
        raise DataError(
            f"{len(seen)} of the {len(asked)} prompts go on from a conversation of the {what} pairs, "
            f"the first of them prompt {seen[0]} ({asked[seen[0] - 1].id})",
            hint="leave them out of the file of prompts, or out of the data",
        )


def _of_split(experiment: Experiment, split: Split) -> list[Prompt]:
    return [
        pair.prompt
        for dimension in experiment.config.data
        for pair in read_rows(experiment.place.pairs(dimension) / f"{split}.jsonl", PreferencePair)
    ]


def _by_id(prompts: list[Prompt]) -> dict[str, Prompt]:
    return {prompt.id: prompt for prompt in prompts}

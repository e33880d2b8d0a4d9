"""What a run would have too little of, counted before it begins."""

from collections.abc import Collection

from genarm.data.pairs import make_pairs
from genarm.data.prompts import read_prompts
from genarm.errors import DataError
from genarm.experiments.enough import shortfalls
from genarm.experiments.load import Experiment
from genarm.models import load_tokenizer
from genarm.system.files import read_rows
from genarm.types import PreferencePair, Prompt, Split


def expected(experiment: Experiment, waiting: Collection[str]) -> list[str]:
    """The shortfalls of a run in which the units `waiting` would run.

    Prompts are counted in what earlier units wrote, else in the data, where ties of `relabel` still count.
    """
    place, config = experiment.place, experiment.config
    if "prompts" not in waiting:
        written = [len(read_rows(path, Prompt)) for path in (place.prompts, place.validation)]
        return shortfalls(experiment, written[0], written[1])
    try:
        prompts = {split: _in_data(experiment, split, waiting) for split in ("evaluation", "validation")}
        if config.prompts.file:
            prompts["evaluation"] = len(read_prompts(place.root / config.prompts.file, config.prompts.file))
    except DataError as error:
        return [f"how many prompts there are is not known yet: {error.message}"]
    most = min(prompts["evaluation"], config.prompts.n), min(prompts["validation"], config.tuning.prompts)
    return shortfalls(experiment, *most)


def _in_data(experiment: Experiment, split: Split, waiting: Collection[str]) -> int:
    """How many prompts a split has over all dimensions."""
    place, found = experiment.place, set[str]()
    for dimension in experiment.config.data:
        if f"pairs-{dimension}" not in waiting:
            pairs = read_rows(place.pairs(dimension) / f"{split}.jsonl", PreferencePair)
        else:
            data = experiment.data(dimension)
            tokenizer = load_tokenizer(experiment.base)
            made = make_pairs(place.root / data.folder, dimension, data, experiment.pairs_config, tokenizer)
            pairs = list(made.splits[split])
        found |= {pair.prompt.id for pair in pairs}
    return len(found)

"""Whether there are as many prompts as an experiment asks for, and as its claim of equivalence needs."""

from collections.abc import Collection

from genarm.data.pairs import make_pairs
from genarm.data.prompts import read_prompts
from genarm.errors import DataError
from genarm.experiments.load import Experiment
from genarm.experiments.sizes import needed_for_equivalence, power_of_equivalence
from genarm.models import load_tokenizer
from genarm.system.files import read_rows
from genarm.types import PreferencePair, Prompt, Split


def shortfalls(experiment: Experiment, evaluation: int, validation: int) -> list[str]:
    """What is less than was asked for, with so many prompts of either kind, and what it means for claims."""
    config = experiment.config
    found = []
    if evaluation < config.prompts.n:
        found.append(f"prompts.n asks for {config.prompts.n} prompts, and {evaluation} are there")
    if validation < config.tuning.prompts and any(row.tune for row in config.methods.values()):
        asked = config.tuning.prompts
        found.append(f"tuning.prompts asks for {asked} validation prompts, and {validation} are there")
    if config.claims and (claim := config.claims.equivalent):
        cuts = [config.methods[row].prompts or evaluation for row in (config.claims.subject, claim.to)]
        shared = min(evaluation, *cuts)
        needed = needed_for_equivalence(claim.margin, alpha=config.alpha) or 0
        if shared < needed:
            chance = power_of_equivalence(shared, claim.margin, config.alpha)
            found.append(
                f"equivalence within {claim.margin:g} needs {needed} prompts where no verdict ties, and "
                f"{shared} are there: one training of each of two equal methods would be found equivalent "
                f"with a chance of {chance:.0%}"
            )
    return found


def expected(experiment: Experiment, waiting: Collection[str]) -> list[str]:
    """The same before anything is run; `waiting` are the units that would run.

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

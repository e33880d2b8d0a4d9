"""Models that are there already and read tokens beside the base: each token id means the same to both."""

import json
from pathlib import Path

from genarm.errors import TokenizerMismatch
from genarm.experiments.checks.refusal import refused
from genarm.experiments.load import Experiment
from genarm.experiments.methods import named_models
from genarm.models.arm import CARD, FULL, check_same_tokens
from genarm.models.source import read_tokenizer, tokenizer_hash

WAY_OUT = (
    "name a model with the base's tokenizer, train one here by another trainer, or give the experiment the "
    "`base` that this one belongs to"
)


def check_tokenizers(experiment: Experiment, where: str) -> None:
    """Raise ConfigError with the first folder whose tokenizer is another one than the base's.

    An ARM's card says by which it was trained; of a whole model the files are read, which takes a moment.
    What a folder lacks is said where it is opened. Raises ModelError where a tokenizer cannot be read.
    """
    for model in _beside_the_base(experiment):
        path = experiment.model_settings(model)["path"]
        folder = experiment.place.root / path
        if (folder / CARD).is_file():
            wrong = _by_card(experiment, folder / CARD)
        elif (folder / FULL).is_file():
            wrong = _by_tokens(experiment, folder)
        else:
            continue
        if wrong:
            raise refused(
                where,
                f"models.{model}: {path} has another tokenizer than the base {experiment.base_name}: {wrong}",
                WAY_OUT,
            )


def _beside_the_base(experiment: Experiment) -> list[str]:
    """The folders that rows, and models trained `on` them, are made of. Rewards of a training read text."""
    rows = experiment.config.methods
    used = [model for row in rows for model in experiment.models_of(row)]
    below = [m for row in rows for m in experiment.all_models(row)]
    used += [on for m in below for on in named_models(experiment.model_settings(m).get("on"))]
    return [model for model in dict.fromkeys(used) if not experiment.is_made(model)]


def _by_card(experiment: Experiment, card: Path) -> str:
    """What differs; empty where nothing does, or where the card cannot be read."""
    try:
        trained = json.loads(card.read_text(encoding="utf-8"))["tokenizer_sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""  # said with more words where it is opened
    base = experiment.base.tokenizer_sha256
    return "" if trained == base else f"{str(trained)[:12]} by {card.name}, and {base[:12]}"


def _by_tokens(experiment: Experiment, folder: Path) -> str:
    """The first token that differs; empty where none does."""
    theirs = read_tokenizer(folder)
    if tokenizer_hash(theirs) == experiment.base.tokenizer_sha256:
        return ""
    try:
        check_same_tokens(folder.name, theirs, "base", read_tokenizer(experiment.base.path))
    except TokenizerMismatch as error:
        return error.message.partition("disagree on ")[2]
    return ""

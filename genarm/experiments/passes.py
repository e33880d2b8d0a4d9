"""Tokens that each part of a row reads for one that is drawn, as the definition of its method says."""

from collections.abc import Mapping
from typing import Any

from genarm.experiments.load import Experiment
from genarm.experiments.units import model_folder
from genarm.judges.reward.conversation import ConversationReader
from genarm.models import load_tokenizer, resolve


def predicted(experiment: Experiment, row: str, settings: Mapping[str, Any]) -> dict[str, float]:
    """Tokens that each part reads for one; empty for a method whose responses decide how many it reads.

    Where turns are closed before they are scored, the reward model's tokenizer says by how many tokens.
    """
    closing = 0
    if settings.get("close_turn"):
        folder = model_folder(experiment, settings["reward"], experiment.config.seeds[0])
        closing = len(ConversationReader(load_tokenizer(resolve(str(folder)))).closing)
    return dict(experiment.method(row).predicted({**settings, "closing": closing}))

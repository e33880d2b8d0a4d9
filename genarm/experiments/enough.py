"""Whether there are as many prompts as an experiment asks for, and as its claim of equivalence needs."""

from genarm.experiments.load import Experiment
from genarm.experiments.sizes import needed_for_equivalence, power_of_equivalence


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

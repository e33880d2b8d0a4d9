"""What keeps a strength of a row from being searched for."""

from genarm.experiments.drift import is_greedy
from genarm.experiments.load import Experiment


def cannot_be_searched(experiment: Experiment, row: str) -> str | None:
    """Why the range of a row makes no sense; None where it does, or where there is none."""
    own, kind = experiment.config.methods[row], experiment.method(row)
    if own.searched is None:
        return None
    setting, _ = own.searched
    if kind.strength is None:
        return f"{setting} has a range, and {own.method} has no strength to search for: list its values"
    if setting != kind.strength:
        return f"{setting} has a range, and the strength of {own.method} is {kind.strength}: list its values"
    if experiment.config.tuning.kl is None:
        return f"{setting} has a range, and tuning.kl does not say at which KL: name one, or list its values"
    mode = kind.settings.model_fields.get("mode")
    given = own.settings.get("mode", mode.default if mode else None)
    if is_greedy({"mode": given}):
        return (
            f"{setting} has a range, and the row has mode: greedy, whose KL tells of one text and not of the "
            "policy: list its values, or take mode: stochastic"
        )
    return None

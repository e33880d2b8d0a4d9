"""How much was tried for each row: what the table says where a rival had less of it than the subject."""

from genarm.experiments.load import Experiment


def budget_notes(experiment: Experiment) -> list[str]:
    """A sentence for each row of a claim that was tuned less than the subject, or on fewer prompts."""
    config = experiment.config
    if (given := config.claims) is None:
        return []
    gap = given.recovers
    rivals = [*given.beats, *given.front_over, *([given.equivalent.to] if given.equivalent else [])]
    rivals += [row for row in (gap.ceiling, gap.control) if row] if gap else []
    own, tried = _tried(experiment, given.subject)
    notes = []
    for row in dict.fromkeys(rivals):
        settings, prompts = _tried(experiment, row)
        if settings < own:
            notes.append(
                f"{row} was tuned less than {given.subject}: {settings or 'no'} setting"
                f"{'' if settings == 1 else 's'} tried, and {own} of {given.subject}"
            )
        elif own and prompts < tried:
            notes.append(f"{row} was tuned on {prompts} prompts at most, and {given.subject} on {tried}")
    return notes


def _tried(experiment: Experiment, row: str) -> tuple[int, int]:
    """Settings that are tried for a row, and prompts that they are tried on, at most."""
    most = experiment.config.tuning.prompts
    return experiment.tries(row), min(most, experiment.config.methods[row].tune_prompts or most)

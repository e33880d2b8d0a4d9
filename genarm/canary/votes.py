"""What people preferred of both sides, as outcomes of the trial: no text, and nothing of who voted.

Whether a vote counts depends on what came before it alone. So votes that are still to come change nothing of
what the test has seen, and it may be looked at after every one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from genarm.config import CanaryConfig, FeedbackConfig
from genarm.feedback.bounds import beyond, candidate, too_fast
from genarm.feedback.comparison import Vote
from genarm.feedback.store import Store
from genarm.pipeline.project import Project
from genarm.types import CanaryOutcome, Trial

BY = "people"
PREFERRED = {"guided": 1.0, "other": 0.0, "tie": 0.5}


def people(project: Project, trial: Trial, rule: CanaryConfig) -> list[CanaryOutcome]:
    """The votes on a trial that count, in the order in which they came; none without a store of votes.

    Raises what opening and reading the store raise.
    """
    config = project.params.feedback
    if config.store is None:
        return []
    store = Store(config, project.root)
    try:
        return list(outcomes(store.votes(trial.dimension, trial=trial.key), trial, rule, config))
    finally:
        store.close()


def outcomes(
    votes: Iterable[Vote], trial: Trial, rule: CanaryConfig, config: FeedbackConfig
) -> Iterator[CanaryOutcome]:
    """An outcome for each vote of a trial within the bounds.

    Left out are votes faster than both responses can be read, those beyond a person's number a minute and a
    day (`feedback`), and all but the first `max_votes` of a person.
    """
    found = [vote for vote in votes if vote.comparison.trial == trial.key]
    seen, at = [], 0.0
    for vote in found:  # servers' clocks may differ; the order in which votes came in is the store's
        at = max(at, vote.at)
        seen.append(replace(candidate(vote), at=at))
    too_many = beyond(seen, config)
    counted: Counter[tuple[str, str]] = Counter()
    for vote, known in zip(found, seen, strict=True):
        if known.id in too_many or too_fast(known, config) or counted[known.person] >= rule.max_votes:
            continue
        counted[known.person] += 1
        yield CanaryOutcome(known.id, PREFERRED[vote.preferred], BY)

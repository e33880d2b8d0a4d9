"""How often a reward model prefers the chosen response of held-out pairs, beside what "longer" would get."""

from pathlib import Path

from genarm.config.judge import RewardModelConfig
from genarm.data.lengths import longer_is_chosen
from genarm.evaluation.win_rate import Z_TWO_SIDED, wilson
from genarm.judges.reward.scorer import RewardScorer
from genarm.models import resolve
from genarm.system import metric_names as names
from genarm.system.files import missing_told, read_rows
from genarm.types import PreferencePair


def judge_accuracy(model: Path, file: Path, max_tokens: int) -> dict[str, float]:
    """Accuracy on the pairs of a file as a judge scores them, a tie half right; Wilson's interval.

    Length is in characters. Raises DataError where there is no file, JudgeError for a score that is none.
    """
    with missing_told(file):
        pairs = read_rows(file, PreferencePair)
    given = RewardModelConfig(model=str(model), max_tokens=max_tokens)
    scorer = RewardScorer(resolve(str(model)), given, "validation pairs")
    prompts = [pair.prompt for pair in pairs]
    scores = scorer.score_all(
        [*prompts, *prompts], [*(p.chosen for p in pairs), *(p.rejected for p in pairs)]
    )
    rated = list(zip(scores[: len(pairs)], scores[len(pairs) :], strict=True))
    right = sum(1.0 if chosen > rejected else 0.5 * (chosen == rejected) for chosen, rejected in rated)
    low, high = wilson(right / len(pairs), len(pairs), Z_TWO_SIDED)
    return {
        names.JUDGE_ACCURACY: right / len(pairs),
        names.JUDGE_ACCURACY_LOWER: low,
        names.JUDGE_ACCURACY_UPPER: high,
        names.JUDGE_LONGER: longer_is_chosen([(len(p.chosen), len(p.rejected)) for p in pairs]),
        names.JUDGE_PAIRS: float(len(pairs)),
    }

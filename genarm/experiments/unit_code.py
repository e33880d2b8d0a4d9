"""The parts of the package that each kind of unit runs, besides what its method or trainer names.

Not among them are files whose every word stands in a unit's settings or names a path: experiment.yaml as it
is read, the units themselves.
"""

from genarm.experiments.judge_content import CODE
from genarm.experiments.methods import DECODING

PAIRS = PROMPTS = ("data", "models", "types", "experiments/pairs.py")
JUDGES = CODE  # of whatever asks a judge
JUDGING = (*JUDGES, *(f"experiments/{name}.py" for name in ("judge", "judge_content", "scores")))
ANSWERING = (*DECODING, "evaluation/respond.py", "experiments/answer.py", "experiments/tuned.py")
TUNING = (
    *(*ANSWERING, *JUDGES, "evaluation", "pipeline/validation.py"),
    *(
        f"experiments/{name}.py"
        for name in ("tune", "trial", "search", "constraint", "drift", "least", "resampling")
    ),
)
SPEED = (
    *(*ANSWERING, "judges/reward/conversation.py"),
    *(f"experiments/{name}.py" for name in ("speed", "memory", "passes")),
)
TABLE = ("evaluation", "experiments", "report")  # made in a moment, and no other unit follows it

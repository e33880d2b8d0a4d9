"""What MLflow's pages say of genarm's experiments: what a row is, and a view with the columns that matter.

MLflow keeps a chosen set of columns in each browser, and shows a fresh one source, models and dataset alone.
What it calls a shared view is a tag of the experiment, which a link in the description opens.
"""

import json
from dataclasses import dataclass

from genarm.registry import tags
from genarm.system import metric_names as names

VIEW = "genarm"  # the name of the view in its address


@dataclass(frozen=True, slots=True)
class Description:
    """What a row of an experiment is, and its columns as MLflow names them."""

    text: str
    columns: tuple[str, ...]


def _metrics(*columns: str) -> tuple[str, ...]:
    return tuple(f"metrics.`{name}`" for name in columns)


def _tags(*columns: str) -> tuple[str, ...]:
    return tuple(f"tags.`{name}`" for name in columns)


DESCRIPTIONS = {
    tags.TRAIN_EXPERIMENT: Description(
        "Each row is the training of one autoregressive reward model (ARM), up to its version. "
        f"`{names.EVALUATION_ACCURACY}` is the share of held-out pairs that it gets right, to be compared "
        f"with `{names.EVALUATION_LONGER}`, what preferring the longer response would get; "
        f"`{names.EVALUATION_IMPLICIT}` is that share by what training taught, its log-probability less its "
        "start's; "
        f"`{names.evaluation_name(names.KL_TO_BASE)}` is how far it moved from its base, in nats a token. "
        "How well its guided answers did is on its version and in the experiment "
        f"{tags.DECISIONS_EXPERIMENT}.",
        (
            *_metrics(names.EVALUATION_ACCURACY, names.EVALUATION_LONGER, names.EVALUATION_LOSS),
            *_metrics(names.EVALUATION_IMPLICIT, names.evaluation_name(names.KL_TO_BASE)),
            *("params.`learning_rate`", "params.`beta`"),
            "attributes.`Models`",
        ),
    ),
    tags.JUDGES_EXPERIMENT: Description(
        "Each row is the training of a judge: a reward model on pairs that no ARM sees. "
        f"`{names.JUDGE_ACCURACY}` is the share of validation pairs that it gets right, with its 95% "
        f"interval, to be compared with `{names.JUDGE_LONGER}`, what preferring the longer response would "
        "get. Its folder is among the artifacts, and params.yaml pins it by version.",
        (
            *_metrics(names.JUDGE_ACCURACY, names.JUDGE_ACCURACY_LOWER, names.JUDGE_ACCURACY_UPPER),
            *_metrics(names.JUDGE_LONGER),
            *("params.`learning_rate`", "params.`layers`"),
        ),
    ),
    tags.COMPARE_EXPERIMENT: Description(
        "Each row is an experiment of `genarm compare`, and below it each method that it compared and each "
        "training of its models, which ends with its seed. "
        f"`{names.WIN_RATE}` is the method's share of wins over the base, with its 95% interval over prompts "
        f"and training seeds; `{names.P_ADJUSTED}` is adjusted over the methods. The table and the page are "
        "among the artifacts of the experiment's run.",
        (
            *_metrics(names.WIN_RATE, names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N),
            *_metrics(names.P_ADJUSTED, names.KL, names.REPETITION, names.MEAN_TOKENS),
        ),
    ),
    tags.WATCH_EXPERIMENT: Description(
        "Each row is a night on which a champion was measured against the base again, on prompts of that "
        f"night. `{names.WIN_RATE}` is its share of wins, with its 95% interval and the number of prompts; "
        f"`pooled_{names.WIN_RATE}` is that of the last nights together. `worse` is 1 where it was shown to "
        "win too seldom.",
        (
            *_tags(tags.DIMENSION, tags.CHAMPION_VERSION),
            *_metrics(names.WIN_RATE, names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N),
            *_metrics(*(f"pooled_{name}" for name in (names.WIN_RATE, names.WIN_RATE_UPPER)), "worse"),
        ),
    ),
    tags.CANARY_EXPERIMENT: Description(
        "Each row is a challenger that answered a share of the requests beside a champion. "
        f"`{names.WIN_RATE}` is how often its answer was preferred to the champion's to the same prompt, "
        f"after `{names.WIN_RATE_N}` prompts, with bounds that hold at every look. The outcomes are among "
        "the artifacts, the reason of its end among the tags.",
        (
            *_tags(tags.DIMENSION, tags.CHALLENGER_VERSION, tags.CHAMPION_VERSION, tags.OUTCOME),
            *_metrics(names.WIN_RATE, names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N),
        ),
    ),
    tags.DECISIONS_EXPERIMENT: Description(
        "Each row is a decision on one challenger (promote, hold or reject) or a rollback. "
        f"`{names.WIN_RATE}` is its share of wins over the champion, or over the base model while there is "
        f"none, with its 95% interval and the number of prompts (`{names.WIN_RATE_N}`). "
        f"`{names.P_ADJUSTED}` is the chance of such a result without any gain, adjusted for the dimensions "
        "decided together. "
        f"`{names.guard_name(names.WIN_RATE, 'NAME')}` is the win rate on a dimension that it was not "
        f"trained for, `{names.held_out_name(names.WIN_RATE)}` that by the held-out judge. "
        "The reasons and the report are on the page of the run.",
        (
            *_tags(tags.OUTCOME, tags.CHALLENGER_VERSION, tags.CHAMPION_VERSION),
            *_metrics(names.WIN_RATE, names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N),
            *_metrics(names.P_ADJUSTED),
            "attributes.`User`",
        ),
    ),
}


def described(name: str, experiment_id: str) -> dict[str, str]:
    """The tags that describe an experiment of genarm; none for any other."""
    if name not in DESCRIPTIONS:
        return {}
    description = DESCRIPTIONS[name]
    link = f"#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW}"
    return {
        tags.EXPERIMENT_KIND: "custom_model_development",
        f"{tags.SHARED_VIEW}{VIEW}": json.dumps({"selectedColumns": [*description.columns]}),
        tags.NOTE: f"{description.text}\n\n[Show the columns that matter]({link})",
    }

"""Every name that genarm writes into MLflow, defined once: experiments, models, aliases and tags.

Several versions of genarm may share one registry, so names may be added here but never changed.
"""

PREFIX = "genarm."


def tag(name: str) -> str:
    """The tag for a fact given by name: `git dirty` becomes `genarm.git_dirty`."""
    return PREFIX + name.strip().replace(" ", "_")


def judge_model_name(dimension: str) -> str:
    """The registered model that holds the trained judges of one dimension, whose name has no dot."""
    return f"genarm-judge.{dimension}"


def label(tag: str) -> str:
    """A tag as people read it: `genarm.git_dirty` becomes `git dirty`."""
    return tag.removeprefix(PREFIX).replace("_", " ")


def model_name(dimension: str) -> str:
    """The registered model that holds the versions of one dimension."""
    return f"genarm-{dimension}"


def lease_name(number: int) -> str:
    """The registered model that is lease number `number`; the names sort as the numbers do."""
    return f"{LEASE_MODEL}{number:012d}"


def lease_number(name: str) -> int | None:
    """The number of the lease that a registered model is; None where it is something else."""
    digits = name.removeprefix(LEASE_MODEL)
    return int(digits) if name != digits and digits.isascii() and digits.isdigit() else None


# The lock of a registry that is shared; no dimension has a dot in its name
LEASE_MODEL = "genarm-lease."
LEASE_TOKEN = "genarm.lease_token"  # tells two processes apart that create the same lease
LEASE_HOST = "genarm.lease_host"
LEASE_MACHINE = "genarm.lease_machine"  # the same where processes see each other by id
LEASE_PID = "genarm.lease_pid"
LEASE_STARTED = "genarm.lease_started"  # when the process started, which tells it from a later one of its id
LEASE_SINCE = "genarm.lease_since"
LEASE_BEAT = "genarm.lease_beat"  # changes while the holder lives
LEASE_RELEASED = "genarm.lease_released"

# Experiments
TRAIN_EXPERIMENT = "genarm/train"  # one run for each training, and so for each ARM: how it was made
JUDGES_EXPERIMENT = "genarm/judges"  # one run for each judge that was trained
DECISIONS_EXPERIMENT = "genarm/decisions"  # one run for each decision and each rollback
COMPARE_EXPERIMENT = "genarm/compare"  # a run for an experiment, below it one a method and one a training
WATCH_EXPERIMENT = "genarm/watch"  # one run for each night that a champion was measured again

CANARY_EXPERIMENT = "genarm/canary"  # one run for each challenger that stood in service beside a champion

# Aliases of a registered model
CHAMPION = "champion"  # the version in use
PREVIOUS = "previous"  # the champion before it, which a rollback returns to
CHALLENGER = "challenger"  # the version on trial

# What an ARM is: on its run, its logged model and its version
DIMENSION = "genarm.dimension"
ADAPTER_SHA256 = "genarm.adapter_sha256"  # identifies a version
MODEL_ID = "genarm.model_id"  # MLflow accepts model_id for a version but does not keep it in a database
BASE_ID = "genarm.base_id"
BASE_REVISION = "genarm.base_revision"
BASE_WEIGHTS_SHA256 = "genarm.base_weights_sha256"
TOKENIZER_SHA256 = "genarm.tokenizer_sha256"
GUIDES = "genarm.guides"
GUIDES_REVISION = "genarm.guides_revision"
DTYPE = "genarm.dtype"
QUANTISE = "genarm.quantise"
BETA = "genarm.beta"
WEIGHT = "genarm.weight"  # the decoding weight it is tried at
GUIDANCE = "genarm.guidance"  # what that weight is tuned for: sum or contrast; without it, sum
PROMOTED_WEIGHT = "genarm.promoted_weight"  # what it is served at; without it, the weight it is tried at
PROMOTED_GUIDANCE = "genarm.promoted_guidance"  # what that weight is tuned for

# What a trained judge is
JUDGE_SHA256 = "genarm.judge_sha256"  # identifies its version

# Where an ARM or a judge comes from
GIT_COMMIT = "genarm.git_commit"
DATA_MD5 = "genarm.data_md5"
PAIRS_SHA256 = "genarm.pairs_sha256"
PARAMS_SHA256 = "genarm.params_sha256"
WARM_START = "genarm.warm_start"
WARM_START_SHA256 = "genarm.warm_start_sha256"
DVC_STAGE = "genarm.dvc_stage"

# How far a promotion or rollback of a version has come
PROMOTION = "genarm.promotion"  # pending, done, `failed: ...`, `reverted: ...` or `rolled back: ...`
PROMOTION_FROM = "genarm.promotion_from"  # the champion before the promotion, 0 for none
PROMOTION_PREVIOUS = "genarm.promotion_previous"  # the previous champion before the promotion, 0 for none
PROMOTION_USE = "genarm.promotion_use"  # JSON of what it was served at before the promotion, null for nothing
PROMOTED_BY = "genarm.promoted_by"
PROMOTED_AT = "genarm.promoted_at"
DECISION_RUN = "genarm.decision_run"
BLOCKED = "genarm.blocked"  # why the version must not be promoted again
PROMOTION_BLOCKED = "genarm.promotion_blocked"  # the block that its promotion lifts
ROLLBACK = "genarm.rollback"  # JSON of a rollback that is under way

# How well, and why: JSON on the version, from which its page and `genarm registry` are made
METRICS = "genarm.metrics"  # of its training and of the last decision on it, which has no other place there
DECISION = "genarm.decision"  # the last decision on it
ROLLED_BACK = "genarm.rolled_back"  # the last rollback from it
PROMOTED_USER = "genarm.promoted_user"  # the name of whoever was logged in at the promotion

# A decision or rollback, on its run
DECISION_SHA256 = "genarm.decision_sha256"  # identifies the run
OUTCOME = "genarm.outcome"
CHALLENGER_SHA256 = "genarm.challenger_sha256"
CHALLENGER_VERSION = "genarm.challenger_version"
CHAMPION_VERSION = "genarm.champion_version"
PROMOTED_VERSION = "genarm.promoted_version"
ROLLED_BACK_TO = "genarm.to"
ACTOR = "genarm.actor"
UNTOLD = "genarm.untold"  # on a rollback, until whoever asked for it was told: a hash of the command
REPORT_SHA256 = "genarm.report_sha256"  # on the promoted version too
FORCED = "genarm.forced"

# A night, on its run
NIGHT = "genarm.night"  # the day, of UTC
NIGHT_NUMBER = "genarm.night_number"  # from 0, by dimension
USE = "genarm.use"  # what was measured: its adapter, weight and guidance

# A challenger in service, on its run
CANARY = "genarm.canary"  # identifies the run: a hash of both sides
CANARY_TRIAL = "genarm.canary_trial"  # JSON of both sides
CANARY_RULE = "genarm.canary_rule"  # JSON of the rule that it is ended by
CANARY_ENDING = "genarm.canary_ending"  # JSON of the decision that ends it, with its metrics
CANARY_RUN = "genarm.canary_run"  # on the run of the decision that it led to
REASON = "genarm.reason"  # why it ended
RESPONSES = "genarm.responses"  # with .ID, of each server: JSON of what it saw of the challenger's

# The results of an experiment, on its run, and on versions that were taken from it
COMPARISON_SHA256 = "genarm.comparison_sha256"  # identifies the run: the hash of results.json
EXPERIMENT = "genarm.experiment"  # its name
ROW = "genarm.row"  # the row of its table that a version is
TRAINED_MODEL = "genarm.trained_model"  # on the run of a training of an experiment: the model's name in it
METHOD = "genarm.method"  # what a version is where it is no ARM that was trained: soup, best_of_n, adapter

# What `genarm gc` took
PRUNED = "genarm.pruned"  # on a version whose record stayed when its files went: the day and the rule

# Runs that name each other
TRAINING = "genarm.training"  # identifies the run of a training: a hash of its tags and parameters
TRAIN_RUN = "genarm.train_run"

# Tags that MLflow itself reads
NOTE = "mlflow.note.content"  # the Markdown page of a run or an experiment
USER = "mlflow.user"
PARENT_RUN = "mlflow.parentRunId"
EXPERIMENT_KIND = "mlflow.experimentKind"  # which pages MLflow shows of an experiment
SHARED_VIEW = "mlflow.sharedViewState."  # begins the tag that holds a view of an experiment's runs
SOURCE_NAME = "mlflow.source.name"
SOURCE_COMMIT = "mlflow.source.git.commit"
MODEL_VERSIONS = "mlflow.modelVersions"  # leads from a logged model to its version
DATA_CONTEXT = "mlflow.data.context"

"""The judges `reward_model` and `trained`: found at once, their weights read when they are first asked."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from genarm.config import JudgeConfig
from genarm.config.judge import RewardModelConfig, TrainedJudgeConfig
from genarm.errors import JudgeError
from genarm.judges.base import ScoreJudge
from genarm.judges.reward.errors import as_judge_error
from genarm.judges.reward.scorer import RewardScorer
from genarm.judges.reward.weights import check_classifier, check_head
from genarm.models import ModelSource, model_kind, resolve, small_files
from genarm.models.hub_tensors import hub_tensors
from genarm.models.judge_folder import JudgeCard, read_judge
from genarm.models.weights import weight_files
from genarm.system.layout import Layout

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RewardJudge:
    """A judge by the scores of a model, with what identifies it in a verdict."""

    judge: ScoreJudge
    identity: str


def reward_model_judge(config: JudgeConfig, root: Path | None) -> RewardJudge:
    """The judge of a `reward_model`.

    Raises JudgeError where the model is no reward model, Unreachable where the hub does not answer.
    """
    assert config.reward_model is not None
    given = config.reward_model
    source = _source(given, root)
    if model_kind(source.id) == "hub" and given.revision is None:
        log.warning(
            "judge %s: without reward_model.revision it is whatever the hub's main branch holds",
            given.model,
        )
    what = f"{given.model} at {given.revision}" if given.revision else given.model
    reading = hashlib.sha256(f"{source.tokenizer_sha256}{given.chat_template}".encode()).hexdigest()
    identity = f"{what}, weights sha256 {source.weights_sha256[:12]}, tokenizer {reading[:12]}"
    return _judge(source, given, config.tie, identity)


def trained_judge(config: JudgeConfig, root: Path | None) -> RewardJudge:
    """The judge of a version that `genarm train-judge` made. Raises JudgeError where it is not there."""
    assert config.trained is not None
    folder = trained_folder(config.trained, root)
    card = check_trained(config.trained, folder)
    source = as_judge_error(resolve, str(folder), where="the trained judge")
    given = RewardModelConfig(
        model=str(folder),
        dtype=config.trained.dtype,
        batch_tokens=config.trained.batch_tokens,
        max_tokens=card.max_tokens,
    )
    return _judge(source, given, config.tie, f"{config.name}, sha256 {card.sha256[:12]}")


def check_reward_model(config: RewardModelConfig, root: Path | None) -> None:
    """Raise JudgeError where a `reward_model` cannot judge, as far as its small files tell.

    Of a hub id they are fetched, and the header of the weights. Raises Unreachable where the hub does not
    answer.
    """
    name, tensors = model_path(config, root), None
    if model_kind(name) == "hub":
        folder = as_judge_error(small_files, name, config.revision, where=config.model)
        tensors = as_judge_error(hub_tensors, name, config.revision, folder, where=config.model)
    elif (folder := Path(name).expanduser()).is_dir():
        as_judge_error(weight_files, folder, where=config.model)
    else:
        raise JudgeError(
            f"judge {config.model}: there is no such folder, and it is no hub id",
            hint="set reward_model.model to a folder with config.json, or to owner/name",
        )
    as_judge_error(check_classifier, folder, config.label, where=config.model)
    as_judge_error(check_head, folder, config.model, tensors, where=config.model)


def check_trained(config: TrainedJudgeConfig, folder: Path) -> JudgeCard:
    """The card of a trained judge. Raises JudgeError where it is absent, altered, or not the pinned one."""
    if not folder.is_dir():
        raise JudgeError(
            f"version {config.version} of the judge of {config.dimension!r} is not in {folder}",
            hint="genarm plan fetches it from the registry; to train one: "
            f"genarm train-judge {config.dimension}",
        )
    card = read_judge(folder)
    if config.sha256 and not card.sha256.startswith(config.sha256):
        raise JudgeError(
            f"version {config.version} of the judge of {config.dimension!r} has the hash {card.sha256[:12]}, "
            f"params.yaml says {config.sha256[:12]}",
            hint="set MLFLOW_TRACKING_URI to the registry that it is from, or pin the one that you mean",
        )
    check_classifier(folder)
    return card


def trained_folder(config: TrainedJudgeConfig, root: Path | None) -> Path:
    """Where a version of a trained judge lies, once it was fetched."""
    if root is None or config.dimension is None:
        raise JudgeError(
            f"version {config.version} of a trained judge is of a project and of a dimension",
            hint="run it in the project, or name trained.dimension",
        )
    return Layout(root).trained_judge(config.dimension, config.version)


def _judge(source: ModelSource, given: RewardModelConfig, tie: float, identity: str) -> RewardJudge:
    scorer = RewardScorer(source, given, identity.partition(",")[0])
    return RewardJudge(
        ScoreJudge(lambda prompt, text: scorer.score_all([prompt], [text])[0], tie, scorer.score_all),
        identity,
    )


def _source(config: RewardModelConfig, root: Path | None) -> ModelSource:
    """The model's files, checked, with their hashes."""
    source = as_judge_error(
        resolve, model_path(config, root), config.revision, config.chat_template, where=config.model
    )
    as_judge_error(check_classifier, source.path, config.label, where=config.model)
    as_judge_error(
        check_head, source.path, config.model, where=config.model
    )  # or it is found after all was decoded
    return source


def model_path(config: RewardModelConfig, root: Path | None) -> str:
    """The model's name, or the folder of the project that it is."""
    within = root and root / config.model
    return str(within) if within and within.is_dir() else config.model


def own_folder(config: RewardModelConfig, root: Path | None) -> Path | None:
    """The folder of a model that lies in the project; None where it lies elsewhere."""
    folder = Path(model_path(config, root)).expanduser()
    inside = root is not None and folder.is_dir() and folder.resolve().is_relative_to(root.resolve())
    return folder.resolve() if inside else None

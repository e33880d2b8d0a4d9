"""A judge from the pairs that were set aside for it: trained, measured, registered, and ready to be pinned.

Its conversations are in no split that an ARM is trained, watched or judged on. The version that comes out is
used by nobody until params.yaml names it.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genarm import registry
from genarm.config.judge_training import JudgeTraining
from genarm.data.dvc import data_version
from genarm.data.pairs import conversation_id
from genarm.errors import ConfigError, DataError, JudgeError
from genarm.judges.reward.conversation import ConversationReader
from genarm.models import ModelSource, load_tokenizer
from genarm.models.judge_folder import CARD, JudgeCard, read_judge, write_judge
from genarm.models.load import context_of_config
from genarm.pipeline.judge_accuracy import judge_accuracy
from genarm.pipeline.judge_fetch import check_disjoint
from genarm.pipeline.lineage import git_commit
from genarm.pipeline.project import Project
from genarm.system import metric_names as names
from genarm.system.counted import counted
from genarm.system.files import read_curves, read_rows, sha256, write_curves
from genarm.training.bradley_terry import RatedPair, require_trl, train_reward_model
from genarm.types import PreferencePair, Split

OTHERS: tuple[Split, ...] = ("train", "validation", "evaluation")


@dataclass(frozen=True, slots=True)
class TrainedJudge:
    """A judge that was trained and registered; `left_out` pairs were too long for it."""

    dimension: str
    version: int
    sha256: str
    folder: str
    pairs: int
    left_out: int
    accuracy: float
    interval: tuple[float, float]
    longer: float
    validation_pairs: int

    @property
    def lines(self) -> str:
        """What pins it in params.yaml."""
        return (
            f"dimensions:\n  {self.dimension}:\n    judge:  # or held_out\n"
            f"      trained: {{version: {self.version}, sha256: {self.sha256[:12]}}}"
        )

    def __str__(self) -> str:
        low, high = self.interval
        dropped = f", {self.left_out} more were too long" if self.left_out else ""
        return (
            f"version {self.version} of the judge of {self.dimension}, in {self.folder}\n"
            f"trained on {counted(self.pairs, 'pair')}{dropped}\n"
            f"accuracy {self.accuracy:.3f} [{low:.3f}, {high:.3f}] n={self.validation_pairs} "
            f"on the validation pairs, longer {self.longer:.3f}\n\n"
            f"to judge by it, in params.yaml:\n{self.lines}"
        )


def train_judge(project: Project, dimension: str, config: JudgeTraining) -> TrainedJudge:
    """Train a reward model on the split `judge` of a dimension and register it as a version.

    Raises ConfigError where no pairs are set aside, DataError where the split is absent, of other parameters
    or shares conversations with another one, JudgeError where TRL is not installed.
    """
    pairs = _pairs(project, dimension)
    require_trl()
    file, base = project.layout.pairs(dimension, "judge"), project.base
    dtype = project.params.base.dtype
    stamp = [
        config.model_dump_json(),
        dtype,
        base.weights_sha256,
        base.tokenizer_sha256,
        base.chat_template or "",
    ]
    name = hashlib.sha256("\n".join([*stamp, sha256(file)]).encode()).hexdigest()[:16]
    work = project.layout.judge_training(dimension) / name
    tokens, left_out = _measured(base, pairs, config)
    model = work / "model"
    if not (model / CARD).is_file():  # else it was killed on its way to the registry
        shutil.rmtree(model, ignore_errors=True)
        curves = train_reward_model(base, tokens, config, work / "checkpoints", model, dtype=dtype)
        write_curves(work / "curves.csv", curves)
        card = JudgeCard(
            dimension=dimension,
            sha256="",
            model_id=base.id,
            model_revision=base.revision,
            model_weights_sha256=base.weights_sha256,
            pairs_sha256=sha256(file),
            data_md5=data_version(project.root),
            git_commit=git_commit(project.root),
            max_tokens=config.max_tokens,
            params={**config.model_dump(), "dtype": dtype, "pairs": project.params.pairs.model_dump()},
            metrics=judge_accuracy(model, project.layout.pairs(dimension, "validation"), config.max_tokens)
            | {"pairs": len(tokens), "left_out": left_out},
        )
        write_judge(model, card, {conversation_id(pair.prompt) for pair in pairs})
    return _registered(project, work)


def _registered(project: Project, work: Path) -> TrainedJudge:
    """The judge that was trained in a folder as a version, moved to where judges are loaded from."""
    card, curves = read_judge(work / "model"), read_curves(work / "curves.csv")
    version = registry.connect(project.root).register_judge(work / "model", curves=curves)
    place = project.layout.trained_judge(card.dimension, version)
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        (work / "model").rename(place)
    shutil.rmtree(work)
    found = card.metrics
    return TrainedJudge(
        dimension=card.dimension,
        version=version,
        sha256=card.sha256,
        folder=str(place.relative_to(project.root)),
        pairs=int(found["pairs"]),
        left_out=int(found["left_out"]),
        accuracy=found[names.JUDGE_ACCURACY],
        interval=(found[names.JUDGE_ACCURACY_LOWER], found[names.JUDGE_ACCURACY_UPPER]),
        longer=found[names.JUDGE_LONGER],
        validation_pairs=int(found[names.JUDGE_PAIRS]),
    )


def _pairs(project: Project, dimension: str) -> list[PreferencePair]:
    """The pairs that were set aside, none of whose conversations an ARM of the project sees."""
    params, layout = project.params, project.layout
    params.known(dimension)
    if not params.pairs.judge:
        raise ConfigError(
            f"no pairs of {dimension!r} are set aside for a judge: pairs.judge is 0",
            hint=f"set pairs.judge to their share, such as 0.2, then: genarm pairs {dimension}",
        )
    file = layout.pairs(dimension, "judge")
    if not file.is_file():
        raise DataError(f"no file at {file}", hint=f"set the pairs aside: genarm pairs {dimension}")
    pairs = read_rows(file, PreferencePair)
    own = {conversation_id(pair.prompt) for pair in pairs}
    try:
        check_disjoint(project, dimension, own)
    except JudgeError:
        raise DataError(
            f"{file} was split by other values of the section pairs than those of params.yaml",
            hint=f"split the pairs again: genarm pairs {dimension}",
        ) from None
    for other in params.dimensions:
        for split in OTHERS:
            seen = layout.pairs(other, split)
            if seen.is_file() and (
                shared := own & {conversation_id(p.prompt) for p in read_rows(seen, PreferencePair)}
            ):
                raise DataError(
                    f"{file} and {seen} share {counted(len(shared), 'conversation')}, such as {min(shared)}: "
                    "the judge would have seen what it judges",
                    hint=f"split the pairs again: genarm pairs {other}",
                )
    return pairs


def _measured(
    base: ModelSource, pairs: Sequence[PreferencePair], config: JudgeTraining
) -> tuple[list[RatedPair], int]:
    """The tokens of the pairs that are short enough, at most `config.most`, and how many were too long."""
    reader, limit = ConversationReader(load_tokenizer(base)), _limit(base, config)
    prompts = [pair.prompt for pair in pairs]
    sides = [
        reader.read(prompts, [getattr(pair, side) for pair in pairs], 2**31)
        for side in ("chosen", "rejected")
    ]
    read = [RatedPair(chosen.ids, rejected.ids) for chosen, rejected in zip(*sides, strict=True)]
    short = [pair for pair in read if max(len(pair.chosen), len(pair.rejected)) <= limit]
    if not short:
        raise DataError(
            f"all {len(pairs)} pairs that are set aside have more than {limit} tokens",
            hint="raise --max-tokens as far as the model's context goes, or shorten the data",
        )
    return short[: config.most], len(read) - len(short)


def _limit(base: ModelSource, config: JudgeTraining) -> int:
    from transformers import AutoConfig

    return min(
        config.max_tokens, context_of_config(AutoConfig.from_pretrained(base.path, trust_remote_code=False))
    )

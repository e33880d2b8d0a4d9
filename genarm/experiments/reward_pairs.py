"""Pairs to a reward model: whole responses and, for methods that ask about prefixes, their beginnings."""

import random
import shutil
import time
from collections.abc import Sequence

from genarm.config.judge_training import JudgeTraining
from genarm.data.pairs import conversation_id
from genarm.errors import DataError
from genarm.experiments.train_context import TrainContext
from genarm.judges.reward.conversation import ConversationReader
from genarm.models import ModelSource, load_tokenizer
from genarm.models.judge_folder import CARD, JudgeCard, write_judge
from genarm.pipeline.judge_accuracy import judge_accuracy
from genarm.system.files import read_curves, read_rows, sha256, write_curves
from genarm.training.bradley_terry import RatedPair, train_reward_model
from genarm.training.checkpoints import open_folder, training_key
from genarm.training.trained import Trained
from genarm.types import PreferencePair


def train_reward(
    context: TrainContext, start: ModelSource, dimension: str, config: JudgeTraining, *, prefixes: bool
) -> Trained:
    """Train on the split `train` of a dimension, the pairs that ARM and DPO see, and write the folder.

    The metrics have its accuracy on the validation split. Raises DataError where all pairs are too long, and
    what the training raises.
    """
    began, file = time.monotonic(), context.split(dimension, "train")
    pairs = read_rows(file, PreferencePair)
    rated = rated_pairs(start, pairs, config)
    if not rated:
        raise DataError(
            f"all {len(pairs)} pairs of {dimension} have more than {config.max_tokens} tokens",
            hint="raise max_tokens of its `train`",
        )
    begun = beginnings(rated, config.seed) if prefixes else []
    shutil.rmtree(context.out, ignore_errors=True)
    settings = config.model_dump(mode="json") | {"prefixes": prefixes, "dtype": context.dtype}
    key = training_key(start.weights_sha256 + start.tokenizer_sha256, settings, sha256(file))
    work = open_folder(context.checkpoints, key)
    model = work / "model"
    if not (model / CARD).is_file():  # else it was killed on its way to its place
        shutil.rmtree(model, ignore_errors=True)
        curves = train_reward_model(
            start, [*rated, *begun], config, work / "checkpoints", model, dtype=context.dtype
        )
        write_curves(work / "curves.csv", curves)
        card = JudgeCard(
            dimension=dimension,
            sha256="",
            model_id=start.id if start is context.base else context.name,
            model_revision=start.revision,
            model_weights_sha256=start.weights_sha256,
            pairs_sha256=sha256(file),
            data_md5=None,
            git_commit=None,
            max_tokens=config.max_tokens,
            params=settings,
        )
        write_judge(model, card, {conversation_id(pair.prompt) for pair in pairs})
    shutil.copytree(model, context.out)
    shutil.rmtree(model)
    metrics = {
        "train/pairs": float(len(rated)),
        "train/beginnings": float(len(begun)),
        "train/seconds": time.monotonic() - began,
    }
    metrics |= judge_accuracy(context.out, context.split(dimension, "validation"), config.max_tokens)
    return Trained(metrics, read_curves(work / "curves.csv"))


def rated_pairs(
    start: ModelSource, pairs: Sequence[PreferencePair], config: JudgeTraining
) -> list[RatedPair]:
    """The tokens of the pairs that are short enough, at most `config.most`, in seeded order."""
    reader = ConversationReader(load_tokenizer(start))
    prompts = [pair.prompt for pair in pairs]
    chosen = reader.read(prompts, [pair.chosen for pair in pairs], 2**31)
    rejected = reader.read(prompts, [pair.rejected for pair in pairs], 2**31)
    read = [RatedPair(c.ids, r.ids) for c, r in zip(chosen, rejected, strict=True)]
    short = [pair for pair in read if max(len(pair.chosen), len(pair.rejected)) <= config.max_tokens]
    if config.most is None or config.most >= len(short):
        return short
    kept = sorted(random.Random(config.seed).sample(range(len(short)), config.most))
    return [short[i] for i in kept]


def beginnings(pairs: Sequence[RatedPair], seed: int) -> list[RatedPair]:
    """Each pair once more, both responses cut to the same number of tokens, drawn by the seed.

    The whole responses' preference is taken for that of their beginnings (PARGS, arXiv 2406.07780). A pair
    whose responses differ in no token that is left is not taken.
    """
    rng, found = random.Random(seed), []
    for pair in pairs:
        ids = zip(pair.chosen, pair.rejected, strict=False)
        same = next((i for i, (c, r) in enumerate(ids) if c != r), None)
        if same is None:
            continue
        length = rng.randint(same + 1, min(len(pair.chosen), len(pair.rejected)))
        found.append(RatedPair(pair.chosen[:length], pair.rejected[:length]))
    return found

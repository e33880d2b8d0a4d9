"""RLHF by a reward model, and MORL by several: TRL's RLOOTrainer (arXiv 2402.14740), which has no critic.

    R(x, y) = sum_i w_i (r_i(x, y) - mean_i) / deviation_i - beta * log(p(y | x) / p_base(y | x))
    loss    = -(R(y_k) - mean of the other R(y_j)) * log p(y_k | x), over the responses y to one prompt

mean_i and deviation_i are of responses of the base, so a weight means the same for each reward. With one
reward it is RLHF; MORL is a training for each vector of weights. TRL 1.16 has no PPO. Its GRPOTrainer would
do as well with `scale_rewards="none"` and a beta, but not with its defaults: they leave the KL out, and
divide by the deviation of each prompt's rewards, which takes back what the weights trade off. RLOO divides by
nothing. Its logged loss is about zero, as the advantages of a prompt sum to zero: look at reward and KL.

Prompts are rendered as everywhere here, and responses end where the decoder ends them. A training that was
killed goes on from TRL's last checkpoint. TRL's own sampler would begin its first order of prompts again
after a resume in a later pass, so they are given in one fixed order; the state of the random generator is
saved. So it ends as a whole one would have (tested on a CPU).
"""

import hashlib
import json
import logging
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any, cast

from genarm.baselines.training.mean import check_mean
from genarm.baselines.training.policy import EXTRA, POLICY, curves_of, replacing
from genarm.baselines.training.reward import Given, Reward, Scale, prompt_of
from genarm.baselines.training.settings import RlooTraining
from genarm.config import SamplingConfig
from genarm.decoding import load_decoder
from genarm.errors import DataError
from genarm.evaluation.respond import respond
from genarm.models import ModelSource, context_of, load_model, load_tokenizer, render
from genarm.models.arm import write_card
from genarm.models.arm_card import card_of
from genarm.models.chat_template import end_tokens
from genarm.system import metric_names as names
from genarm.system.files import read_json, write_json
from genarm.system.progress import ProgressDisplay
from genarm.system.verbosity import Verbosity, verbosity
from genarm.training.callbacks import Journal, quiet
from genarm.training.checkpoints import clear, open_folder, training_key
from genarm.training.lora import add_lora, fuse_lora, save_adapter
from genarm.training.stock_trainer import libraries_quiet, require_trl, run_stock, stock_arguments
from genarm.training.trained import Trained
from genarm.types import Prompt, Provenance

CHECKPOINTS_A_RUN = 12  # a step is slow, and what is saved is an adapter
REWARD, KL, LENGTH, TOKENS = "reward", "kl", "completions/mean_length", "num_tokens"  # as TRL calls them
CURVES = {
    name: name
    for name in (
        *(names.LOSS, names.GRADIENT_NORM, REWARD, "reward_std", KL, "entropy"),
        *(LENGTH, "completions/clipped_ratio"),
    )
}

log = logging.getLogger(__name__)


@libraries_quiet()
def train(
    base: ModelSource,
    prompts: Sequence[Prompt],
    rewards: Mapping[str, Given],
    *,
    weights: Mapping[str, float] | None = None,
    name: str,
    dtype: str,
    config: RlooTraining,
    out: Path,
    work: Path,
    provenance: Provenance = POLICY,
    journal: Journal = quiet,
) -> Trained:
    """Train for the mean of `rewards` by `weights`, and write the policy to `out`.

    `weights` sum to 1; a reward alone needs none. `work` holds the checkpoints to go on from. Raises
    TrainingError where TRL is not installed or the loss is no number, ConfigError for weights that are no
    mean, JudgeError naming a reward that is none or that scores NaN, DataError where no prompt leaves room
    for a response.
    """
    require_trl("RLHF", EXTRA)
    from transformers import set_seed
    from trl.trainer.rloo_config import RLOOConfig

    began = time.monotonic()
    shares = dict(weights) if weights is not None else dict.fromkeys(rewards, 1.0)
    check_mean(shares, rewards)
    functions = [Reward(of, given) for of, given in rewards.items()]
    set_seed(config.seed)
    model, tokenizer = load_model(base, dtype), load_tokenizer(base)
    room = context_of(model) - config.max_new_tokens
    fitting = [p for p in prompts if len(render(tokenizer, p.messages)) <= room]
    if left_out := len(prompts) - len(fitting):
        log.warning("%s: %d prompts are left out, they have more than %d tokens", name, left_out, room)
    if not fitting:
        raise DataError(
            f"none of {len(prompts)} prompts leaves room for {config.max_new_tokens} tokens",
            hint="lower max_new_tokens, or give it shorter prompts",
        )
    settings = {"method": "rloo", "dtype": dtype, "weights": shares, **config.model_dump(mode="json")}
    scored = {of.__name__: of.source.weights_sha256 + of.source.tokenizer_sha256 for of in functions}
    asked = hashlib.sha256(json.dumps([p.id for p in fitting]).encode()).hexdigest()
    key = training_key(base.weights_sha256, settings, asked, json.dumps(scored))
    folder = open_folder(work, key, {"settings": settings, "prompts": asked, "rewards": scored})
    _standardise(folder / "scales.json", functions, base, fitting, dtype, config)
    model.generation_config.eos_token_id = end_tokens(tokenizer, model)
    adapted = add_lora(model, config.lora)
    arguments = RLOOConfig(
        **stock_arguments(folder, config.steps, seed=config.seed, checkpoints=CHECKPOINTS_A_RUN),
        beta=config.beta,
        num_generations=config.generations,
        per_device_train_batch_size=config.step_prompts * config.generations,
        reward_weights=[shares[of.__name__] for of in functions],
        max_steps=config.steps,
        max_completion_length=config.max_new_tokens,
        temperature=config.temperature,
        shuffle_dataset=False,  # they are in their order already
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        lr_scheduler_type="cosine",
        max_grad_norm=config.max_grad_norm,
        gradient_checkpointing=False,
        bf16=False,  # the weights have the precision that passes run in
    )
    trainer = _trainer(adapted, functions, arguments, _in_order(fitting, config), tokenizer)
    done = run_stock(
        trainer,
        ProgressDisplay(f"train {name}", quiet=verbosity() is Verbosity.QUIET),
        what=name,
        hint="lower learning_rate",
        noted={REWARD: REWARD, KL: "KL a token"},
        journal=journal,
    )
    each = {f"rewards/{of}/mean": f"rewards/{of}" for of in rewards}
    curves = curves_of(done.log, CURVES | each)
    metrics = {
        "train/prompts": float(len(fitting)),
        "train/left_out": float(left_out),
        "train/steps": float(done.steps),
        "train/responses": float(done.steps * config.step_prompts * config.generations),
        "train/tokens": float(trainer.state.num_input_tokens_seen),
        **{f"train/{of}": _late(curves, of) for of in (names.LOSS, REWARD, KL, LENGTH, *each.values())},
        **{f"reward/{of.__name__}/mean": of.scale.mean for of in functions},
        **{f"reward/{of.__name__}/deviation": of.scale.deviation for of in functions},
        "train/seconds": max(done.seconds, time.monotonic() - began),
    }
    for of in functions:
        if of.cut:
            log.warning(
                "%s: %r read %d texts without the beginning of their prompt", name, of.__name__, of.cut
            )
    with replacing(out) as written:
        save_adapter(adapted, written, base.id, base.revision)
        write_card(
            written,
            card_of(
                name,
                base,
                provenance,
                beta=config.beta,
                pairs_sha256=asked,
                params=settings | {"rewards": scored},
                metrics=metrics,
                dtype=dtype,
            ),
        )
    clear(work)
    return Trained(metrics, curves)


def _late(curves: Sequence[Mapping[str, float]], name: str) -> float:
    """The mean over the last fifth of a curve: a step is of few responses."""
    values = [row[name] for row in curves if name in row]
    return fmean(values[-max(1, len(values) // 5) :]) if values else math.nan


def _standardise(
    file: Path,
    rewards: Sequence[Reward],
    base: ModelSource,
    prompts: Sequence[Prompt],
    dtype: str,
    config: RlooTraining,
) -> None:
    """Give each reward its scale on responses of the base, measured once a training."""
    if not file.is_file():
        some = random.Random(config.seed).sample(prompts, min(config.standardise_on, len(prompts)))
        decoder, tokenizer, texts = load_decoder(base, {}, dtype=dtype), load_tokenizer(base), list[str]()
        rounds = math.ceil(config.standardise_on / len(some))
        for number in range(rounds):
            sampling = SamplingConfig(
                temperature=config.temperature,
                top_p=1.0,
                max_new_tokens=config.max_new_tokens,
                seed=config.seed + number,
            )
            answers = respond(some, decoder, tokenizer, weights={}, sampling=sampling)
            texts += [answer.text for answer in answers]
        scales = {r.__name__: Scale.of(r.__name__, r.scores(some * rounds, texts)) for r in rewards}
        write_json(file, scales)
    held = read_json(file, dict[str, Scale])
    for reward in rewards:
        reward.scale = held[reward.__name__]


def _in_order(prompts: Sequence[Prompt], config: RlooTraining) -> list[Prompt]:
    """The prompts of all steps: each pass over them in an order of its own, by the seed."""
    rng, wanted, order = random.Random(config.seed), config.steps * config.step_prompts, list[Prompt]()
    while len(order) < wanted:
        order += rng.sample(prompts, len(prompts))
    return order[:wanted]


def _trainer(
    adapted: Any, rewards: list[Reward], arguments: Any, prompts: Sequence[Prompt], tokenizer: Any
) -> Any:
    from datasets import Dataset
    from trl.trainer.rloo_trainer import RLOOTrainer

    class OnOurPrompts(RLOOTrainer):
        """TRL's trainer, whose prompts are rendered by us: a control token that one spells is text."""

        def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [list(render(tokenizer, prompt_of(p).messages)) for p in prompts], None, {}

    rows = [{"prompt": [asdict(message) for message in prompt.messages]} for prompt in prompts]
    trainer = OnOurPrompts(
        model=adapted,
        reward_funcs=cast("list[Any]", rewards),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    adapted.delete_adapter("ref")  # TRL's copy of the fresh adapter: without it, the reference is the base
    fuse_lora(adapted)
    return trainer

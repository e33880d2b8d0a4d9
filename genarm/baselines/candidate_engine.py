"""From a base model, reward models and perhaps an aligned one to a decoder that draws among candidates."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor

from genarm.baselines.candidate_policy import REWARD, CandidatePolicy, Scorer
from genarm.baselines.follower import Follower
from genarm.baselines.reward_model import RewardFolder, find_reward_model
from genarm.baselines.rollouts import Rollouts
from genarm.baselines.scored_engine import ScoredEngine
from genarm.decoding import load_decoder
from genarm.decoding.engine.engine import Engine
from genarm.decoding.runner.ensemble import Part
from genarm.errors import ConfigError
from genarm.models import ModelSource, load_tokenizer, resolve

Mode = Literal["greedy", "stochastic"]
ALIGNED = "aligned"


def candidate_engine(
    base: ModelSource | str,
    rewards: Sequence[RewardFolder],
    *,
    dtype: str,
    k: int,
    weight: float,
    mode: Mode,
    batch_size: int,
    aligned: Path | str | None = None,
    rollout: int = 0,
    value: Callable[..., Tensor] = lambda reward: reward,
) -> ScoredEngine:
    """A decoder that scores the base's k best tokens; `value` makes one number of the scores of `rewards`.

    `aligned` goes on after each candidate by `rollout` tokens. Raises ConfigError for a setting out of range,
    TokenizerMismatch for a model of other tokens, before any weight is loaded.
    """
    source = resolve(base) if isinstance(base, str) else base
    tokenizer = load_tokenizer(source)
    _check(k, weight, mode, 1 + max(tokenizer.get_vocab().values()))
    found = [find_reward_model(folder, base=source, tokenizer=tokenizer) for folder in rewards]
    arms = {} if aligned is None else {ALIGNED: aligned}
    decoder = load_decoder(source, arms, dtype=dtype, batch_size=batch_size)
    assert isinstance(decoder, Engine)
    parts, roles = [Part(decoder.parts[0].trunk, base=True)], ["base"]
    rollouts = None
    if aligned is not None:
        of = next(part for part in decoder.parts if ALIGNED in part.arms)
        # An adapter on the base's weights shares them, and has rows of its own: rollouts are not the base's.
        parts.append(Part(of.trunk, {ALIGNED: of.arms[ALIGNED]}))
        roles.append(ALIGNED)
        rollouts = Rollouts(Follower(parts[-1], ALIGNED, ALIGNED), rollout)
    scorers = []
    for i, each in enumerate(found):
        name = f"{REWARD} {i + 1}" if i else REWARD
        model = each.load(dtype)
        parts.append(Part(model.trunk, {name: None}))
        roles.append(REWARD)
        scorers.append(Scorer(model, Follower(parts[-1], name, REWARD)))
    ends = decoder.stop_criteria.end_tokens.tolist()
    policy = CandidatePolicy(
        parts[0], scorers, k=k, greedy=mode == "greedy", ends=ends, rollouts=rollouts, value=value
    )
    return ScoredEngine(parts, decoder.tokenizer, policy, roles=roles, weight=weight, slots=batch_size)


def _check(k: int, weight: float, mode: str, vocab: int) -> None:
    """Raise ConfigError for settings out of range."""
    if k < 1:
        raise ConfigError(f"k is {k}", hint="it is how many candidates are scored, at least 1")
    if k > vocab:
        raise ConfigError(
            f"k is {k}, and the base's vocabulary has {vocab} tokens", hint="lower k; papers take 10"
        )
    if not (weight >= 0 and math.isfinite(weight)):
        raise ConfigError(f"weight is {weight}", hint="it is a finite number >= 0; papers take 1")
    if mode not in get_args(Mode):
        raise ConfigError(f"mode is {mode!r}", hint=f"it is one of {', '.join(get_args(Mode))}")

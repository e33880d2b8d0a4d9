"""From a decoder, reward models and perhaps an aligned model to a decoder that draws among candidates."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from torch import Tensor

from genarm.baselines.candidate_policy import REWARD, CandidatePolicy, Scorer
from genarm.baselines.follower import Follower
from genarm.baselines.reward_model import RewardFolder, RewardModel, find_reward_model
from genarm.baselines.rollouts import Rollouts
from genarm.baselines.scored_engine import ScoredEngine
from genarm.decoding import load_decoder
from genarm.decoding.engine.engine import Engine
from genarm.decoding.runner.ensemble import Part
from genarm.errors import ConfigError
from genarm.models import ModelSource, load_tokenizer, resolve

Mode = Literal["greedy", "stochastic"]
ALIGNED = "aligned"


class Candidates(NamedTuple):
    """How candidates are chosen: `k` of them, the reward times `weight`, the best or a draw."""

    k: int
    weight: float
    mode: Mode

    def check(self, vocab: int) -> None:
        """Raise ConfigError for a setting out of range; `vocab` is how many tokens the base has."""
        if self.k < 1:
            raise ConfigError(f"k is {self.k}", hint="it is how many candidates are scored, at least 1")
        if self.k > vocab:
            raise ConfigError(
                f"k is {self.k}, and the base's vocabulary has {vocab} tokens", hint="papers take 10"
            )
        if not (self.weight >= 0 and math.isfinite(self.weight)):
            raise ConfigError(f"weight is {self.weight}", hint="a finite number >= 0; papers take 1")
        if self.mode not in get_args(Mode):
            raise ConfigError(f"mode is {self.mode!r}", hint=f"it is one of {', '.join(get_args(Mode))}")


def candidate_engine(
    engine: Engine,
    rewards: Sequence[RewardModel],
    candidates: Candidates,
    *,
    aligned: str | None = None,
    rollout: int = 0,
    value: Callable[..., Tensor] = lambda reward: reward,
) -> ScoredEngine:
    """A decoder on the weights of another one, which scores its base's k best tokens.

    `aligned`, an ARM of that decoder, goes on after each candidate by `rollout` tokens; `value` makes one
    number of the scores of `rewards`. Raises ConfigError for a setting out of range.
    """
    candidates.check(engine.vocab)
    parts = [Part(next(part for part in engine.parts if part.base).trunk, base=True)]
    roles, rollouts, scorers = ["base"], None, []
    if aligned is not None:
        of = next((part for part in engine.parts if aligned in part.arms), None)
        if of is None:
            raise ConfigError(
                f"rollouts are to be those of {aligned!r}, which is not loaded",
                hint=f"loaded ARMs: {', '.join(engine.arms) or 'none'}",
            )
        # An adapter on the base's weights shares them and has rows of its own: rollouts are not the base's.
        parts.append(Part(of.trunk, {ALIGNED: of.arms[aligned]}))
        roles.append(ALIGNED)
        rollouts = Rollouts(Follower(parts[-1], ALIGNED, ALIGNED), rollout)
    for i, model in enumerate(rewards):
        name = f"{REWARD} {i + 1}" if i else REWARD
        parts.append(Part(model.trunk, {name: None}))
        roles.append(REWARD)
        scorers.append(Scorer(model, Follower(parts[-1], name, REWARD)))
    policy = CandidatePolicy(
        parts[0],
        scorers,
        k=candidates.k,
        greedy=candidates.mode == "greedy",
        ends=engine.stop_criteria.end_tokens.tolist(),
        rollouts=rollouts,
        value=value,
    )
    return ScoredEngine(
        parts, engine.tokenizer, policy, roles=roles, weight=candidates.weight, slots=engine.slots
    )


def load_models(
    base: ModelSource | str,
    rewards: Sequence[RewardFolder | Path | str],
    candidates: Candidates,
    *,
    dtype: str,
    batch_size: int,
    arms: Mapping[str, Path | str] | None = None,
) -> tuple[Engine, list[RewardModel]]:
    """The decoder of a base and reward models for it; what does not fit is refused before weights are loaded.

    Raises ConfigError for a setting out of range, TokenizerMismatch for a model of other tokens, JudgeError
    for what is no reward model.
    """
    source = resolve(base) if isinstance(base, str) else base
    tokenizer = load_tokenizer(source)
    candidates.check(1 + max(tokenizer.get_vocab().values()))
    folders = [each if isinstance(each, RewardFolder) else RewardFolder(each) for each in rewards]
    found = [find_reward_model(folder, base=source, tokenizer=tokenizer) for folder in folders]
    engine = load_decoder(source, arms or {}, dtype=dtype, batch_size=batch_size)
    return engine, [each.load(dtype) for each in found]

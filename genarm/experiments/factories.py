"""The methods made from their settings; what each one imports is loaded when it is made."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genarm.decoding import GuidedRequest
from genarm.experiments import method_settings as given
from genarm.models import ModelSource

if TYPE_CHECKING:
    from genarm.baselines.method import Method
    from genarm.baselines.reward_model import RewardModel
    from genarm.baselines.selection import Selector
    from genarm.decoding import GuidedDecoder
    from genarm.decoding.engine.engine import Engine

ALIGNED = "aligned"


@dataclass(frozen=True, slots=True)
class Context:
    """What a method is made in: the base, and the folder of each model of the experiment by its name.

    `validation` gives requests of validation prompts to a method that must be calibrated; `measured` is false
    where time is taken, and the KL of a model that answers alone is not wanted.
    """

    base: ModelSource
    dtype: str
    batch_size: int
    models: Mapping[str, Path]
    validation: "Callable[[GuidedDecoder], Sequence[GuidedRequest]]" = field(default=lambda decoder: ())
    measured: bool = True
    root: Path | None = None

    def engine(self, arms: Mapping[str, Path] | None = None, *, contrast: bool = False) -> "Engine":
        """The decoder with some ARMs."""
        from genarm.decoding import load_decoder

        return load_decoder(
            self.base, arms or {}, dtype=self.dtype, batch_size=self.batch_size, contrast=contrast
        )


Settings = Mapping[str, Any]
Factory = Callable[[Context, Settings], "Method"]


def base(context: Context, settings: Settings) -> "Method":
    """The base alone."""
    from genarm.baselines.guided import base as method

    return method(context.engine())


def sharpened(context: Context, settings: Settings) -> "Method":
    """The base at another temperature."""
    from genarm.baselines.guided import sharpened as method

    return method(context.engine(), given.SharpenedSettings(**settings).weight)


def guided(context: Context, settings: Settings) -> "Method":
    """The base with ARMs. One with weight 0 stays loaded, so that all points of a front cost the same."""
    from genarm.baselines.guided import Guided

    asked = given.GuidedSettings(**settings)
    folders = {arm: context.models[model] for arm, model in asked.arms.items()}
    engine = context.engine(folders, contrast=asked.guidance == "contrast")
    return Guided(engine, weights(asked), asked.guidance)


def weights(asked: given.GuidedSettings) -> dict[str, float]:
    """The weight of each ARM in a request; a share divides the weights of two."""
    each = asked.weight if isinstance(asked.weight, Mapping) else dict.fromkeys(asked.arms, asked.weight)
    parts = [1.0] * len(asked.arms) if asked.share is None else [asked.share, 1 - asked.share]
    return {arm: part * each[arm] for arm, part in zip(asked.arms, parts, strict=True)}


def parm(context: Context, settings: Settings) -> "Method":
    """The base with a PARM at one preference vector."""
    from genarm.baselines.guided import Guided

    asked = given.ParmSettings(**settings)
    first, second = asked.dimensions
    vector = {first: asked.share, second: 1 - asked.share}

    class Conditioned(Guided):
        """Requests that all have the vector."""

        def asked(self, request: GuidedRequest, name: str = "the request") -> GuidedRequest:
            return replace(super().asked(request, name), preference=vector)

    engine = context.engine({"parm": context.models[asked.parm]}, contrast=asked.guidance == "contrast")
    return Conditioned(engine, {"parm": asked.weight}, asked.guidance)


def adapter(context: Context, settings: Settings) -> "Method":
    """A trained model alone."""
    from genarm.baselines.aligned import Aligned
    from genarm.baselines.scaled import scaled

    asked = given.AdapterSettings(**settings)
    with scaled(context.models[asked.adapter], asked.scale) as folder:
        return Aligned(context.engine({ALIGNED: folder}), ALIGNED, measured=context.measured)


def soup(context: Context, settings: Settings) -> "Method":
    """The mean of two adapters, made for this row and forgotten once it is loaded."""
    from genarm.baselines.aligned import Aligned
    from genarm.baselines.scaled import scaled
    from genarm.baselines.training.soups import make_soup

    asked = given.SoupSettings(**settings)
    folders = {name: context.models[model] for name, model in asked.adapters.items()}
    weights = dict(zip(folders, (asked.share, 1 - asked.share), strict=True))
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "soup"
        make_soup(context.base, folders, weights, name="soup", dtype=context.dtype, out=out)
        with scaled(out, asked.scale) as folder:
            return Aligned(context.engine({ALIGNED: folder}), ALIGNED, measured=context.measured)


def proxy_tuning(context: Context, settings: Settings) -> "Method":
    """The base and a small model with what it was trained from."""
    from genarm.baselines.guided import proxy_tuning as method

    asked = given.ProxySettings(**settings)
    engine = context.engine({"proxy": context.models[asked.arm]}, contrast=True)
    return method(engine, "proxy", asked.alpha)


def best_of_n(context: Context, settings: Settings) -> "Method":
    """The best of n responses of the base."""
    from genarm.baselines.best_of_n import BestOfN
    from genarm.baselines.guided import base as alone

    asked = given.BestOfSettings(**settings)
    arms = {"arm": context.models[asked.arm]} if asked.arm else {}
    engine = context.engine(arms, contrast=asked.implicit)
    return BestOfN(alone(engine), _selector(context, asked, engine), asked.n)


def _selector(context: Context, asked: given.BestOfSettings, engine: "Engine") -> "Selector":
    from genarm.baselines.reward_model import load_reward_model
    from genarm.baselines.selection import ByCachedReward, ByJudge, ByLikelihood
    from genarm.judges import load_judge

    if asked.arm is not None:
        return ByLikelihood(engine, "arm", "implicit" if asked.implicit else "arm")
    if asked.reward is not None:
        reward = load_reward_model(
            context.models[asked.reward],
            base=context.base,
            tokenizer=engine.tokenizer,
            dtype=context.dtype,
            close_turn=True,  # responses are whole
        )
        return ByCachedReward(reward, engine.stop_criteria.end_tokens)
    assert asked.judge is not None
    return ByJudge(load_judge(asked.judge, context.root))


def args(context: Context, settings: Settings) -> "Method":
    """ARGS."""
    from genarm.baselines.args import args as method
    from genarm.baselines.candidate_engine import Candidates, load_models
    from genarm.baselines.reward_model import RewardFolder

    asked = given.ArgsSettings(**settings)
    engine, (reward,) = load_models(
        context.base,
        [RewardFolder(context.models[asked.reward], close_turn=asked.close_turn)],
        Candidates(asked.k, asked.weight, asked.mode),
        dtype=context.dtype,
        batch_size=context.batch_size,
    )
    weight = _weight(context, asked, engine, reward)
    return method(engine, reward, k=asked.k, weight=weight, mode=asked.mode)


def _weight(context: Context, asked: given.ArgsSettings, engine: "Engine", reward: "RewardModel") -> float:
    """The weight on the reward model's own scale."""
    if asked.unit == "reward":
        return asked.weight
    from genarm.baselines.calibration import base_rewards, deviation

    return asked.weight / deviation(base_rewards(engine, reward, context.validation(engine)))


def transfer_q(context: Context, settings: Settings) -> "Method":
    """Transfer Q*."""
    from genarm.baselines.candidate_engine import Candidates, load_models
    from genarm.baselines.reward_model import RewardFolder
    from genarm.baselines.transfer_q import transfer_q as method

    asked = given.TransferSettings(**settings)
    rewards = [asked.reward, asked.baseline_reward] if asked.baseline_reward else [asked.reward]
    engine, (reward, *baseline) = load_models(
        context.base,
        [RewardFolder(context.models[model], close_turn=asked.close_turn) for model in rewards],
        Candidates(asked.k, asked.weight, asked.mode),
        dtype=context.dtype,
        batch_size=context.batch_size,
        arms={ALIGNED: context.models[asked.aligned]},
    )
    return method(
        engine,
        reward,
        ALIGNED,
        baseline_reward=baseline[0] if baseline else None,
        beta=asked.beta,
        k=asked.k,
        weight=_weight(context, asked, engine, reward),
        rollout=asked.rollout,
        mode=asked.mode,
    )


def cards(context: Context, settings: Settings) -> "Method":
    """CARDS, whose target and beta are measured on the rewards of the base on validation prompts."""
    from genarm.baselines.calibration import base_rewards, deviation
    from genarm.baselines.cards import Cards
    from genarm.baselines.reward_model import load_reward_model
    from genarm.baselines.segments import CardsSettings

    asked = given.CardsRowSettings(**settings)
    engine = context.engine()
    reward = load_reward_model(
        context.models[asked.reward],
        base=context.base,
        tokenizer=engine.tokenizer,
        dtype=context.dtype,
        close_turn=asked.close_turn,
    )
    rewards = base_rewards(engine, reward, context.validation(engine))
    knobs = asked.model_dump(exclude={"reward", "quantile", "close_turn", "beta"})
    target, beta = float(np.quantile(rewards, asked.quantile)), asked.beta * deviation(rewards)
    return Cards(engine, reward, CardsSettings(target, beta=beta, **knobs))

"""The methods by name: which settings each one takes, which models it is made of, and who makes it.

A method is made by `make(context, settings)` and answers requests; see `genarm.baselines.method`. This list
imports no model code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genarm.config import Section
from genarm.experiments import factories as make
from genarm.experiments import method_settings as takes
from genarm.experiments.factories import Context, Factory

__all__ = ["METHODS", "Context", "MethodKind", "named_models"]

DECODING = (
    "decoding",
    "models",
    "types",
    "experiments/factories.py",
    "baselines/counting.py",
    "baselines/guided.py",
)
ALONE = (*DECODING, *(f"baselines/{name}.py" for name in ("aligned", "reading", "scaled")))
SCORED = (
    *DECODING,
    "judges/reward",
    *(f"baselines/{name}.py" for name in ("branches", "reward_model", "reward_rows")),
)
CANDIDATES = tuple(
    f"baselines/{name}.py"
    for name in ("calibration", "candidate_engine", "candidate_policy", "follower", "scored_engine")
)
Predicted = Callable[[Mapping[str, Any]], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class MethodKind:
    """One kind of method. `predicted` gives the tokens that each part reads for one that is drawn.

    It is told by the settings, and by `closing` beside them: how many tokens close a scored turn.
    """

    about: str
    settings: type[Section]
    make: Factory
    predicted: Predicted
    models: tuple[str, ...] = ()  # the settings that name models
    judges: tuple[str, ...] = ()  # the settings that are judges, which are asked while it answers
    code: tuple[str, ...] = DECODING
    strength: str | None = None  # the setting, one number, with which its KL from the base grows
    needs: tuple[str, ...] = ()  # packages of extras, without which it does not run


def _scored(settings: Mapping[str, Any], tokens: float) -> float:
    """What a reward model reads of a candidate: its tokens, and those that close the turn before a score."""
    return tokens + float(settings["closing"])


def _transfer(settings: Mapping[str, Any]) -> dict[str, float]:
    """The aligned model reads k candidates and their rollouts but the last tokens, the reward model all."""
    k, rollout = float(settings["k"]), float(settings["rollout"])
    rewards = 2.0 if settings["baseline_reward"] else 1.0
    return {"base": 1.0, "aligned": k * rollout, "reward": rewards * k * _scored(settings, rollout + 1)}


def _best_of(settings: Mapping[str, Any]) -> dict[str, float]:
    n = float(settings["n"])
    chooser = {"reward": n} if settings["reward"] else {"arm": n} if settings["arm"] else {}
    return {"base": n} | chooser


METHODS: dict[str, MethodKind] = {
    "base": MethodKind("the base model alone", takes.NoSettings, make.base, lambda s: {"base": 1.0}),
    "sharpened": MethodKind(
        "the base at temperature T / (1 + weight): what guidance sharpens by itself",
        takes.SharpenedSettings,
        make.sharpened,
        lambda s: {"base": 1.0},
        strength="weight",
    ),
    "guided": MethodKind(
        "GenARM: the base guided by ARMs",
        takes.GuidedSettings,
        make.guided,
        lambda s: {"base": 1.0, "arm": float(len(s["arms"]))},
        models=("arms",),
        strength="weight",
    ),
    "parm": MethodKind(
        "the base guided by one ARM that a preference vector conditions",
        takes.ParmSettings,
        make.parm,
        lambda s: {"base": 1.0, "arm": 1.0},
        models=("parm",),
        code=(*DECODING, "baselines/parm"),
        strength="weight",
    ),
    "adapter": MethodKind(
        "a trained adapter that answers alone, such as one of DPO, SimPO or RLHF",
        takes.AdapterSettings,
        make.adapter,
        lambda s: {"aligned": 1.0},
        models=("adapter",),
        code=ALONE,
        strength="scale",
    ),
    "soup": MethodKind(
        "Rewarded Soups: the weighted mean of two adapters, which answers alone",
        takes.SoupSettings,
        make.soup,
        lambda s: {"aligned": 1.0},
        models=("adapters",),
        code=(
            *ALONE,
            *(f"baselines/training/{name}.py" for name in ("soups", "mean", "policy")),
            *(f"training/{n}.py" for n in ("checkpoints", "lora", "process_group", "transformers_hooks")),
        ),
        strength="scale",
    ),
    "proxy_tuning": MethodKind(
        "the base moved by what a small model learned",
        takes.ProxySettings,
        make.proxy_tuning,
        lambda s: {"base": 1.0, "arm": 2.0},
        models=("arm",),
        strength="alpha",
    ),
    "best_of_n": MethodKind(
        "the best of n responses of the base, by a reward model, an ARM or a judge",
        takes.BestOfSettings,
        make.best_of_n,
        _best_of,
        models=("reward", "arm"),
        judges=("judge",),
        code=(
            *SCORED,
            "judges",
            *(f"baselines/{n}.py" for n in ("best_of_n", "selection", "seeds", "reading", "whole_session")),
        ),
    ),
    "args": MethodKind(
        "ARGS: a reward model is asked about each of the base's k best tokens",
        takes.ArgsSettings,
        make.args,
        lambda s: {"base": 1.0, "reward": float(s["k"]) * _scored(s, 1.0)},
        models=("reward",),
        code=(*SCORED, *CANDIDATES, "baselines/rollouts.py", "baselines/args.py"),
        strength="weight",
    ),
    "transfer_q": MethodKind(
        "Transfer Q*: a candidate token is worth the reward of what an aligned model makes of it",
        takes.TransferSettings,
        make.transfer_q,
        _transfer,
        models=("reward", "aligned", "baseline_reward"),
        code=(*SCORED, *CANDIDATES, "baselines/rollouts.py", "baselines/transfer_q.py"),
        strength="weight",
    ),
    "cards": MethodKind(
        "CARDS: segments of the base that a reward model accepts or refuses",
        takes.CardsRowSettings,
        make.cards,
        lambda s: {},  # as many as are refused
        models=("reward",),
        code=(
            *SCORED,
            *(f"baselines/{n}.py" for n in ("cards", "cards_run", "segments", "calibration", "base_rows")),
            *(f"baselines/{n}.py" for n in ("seeds", "whole_session")),
        ),
    ),
}


def named_models(value: object) -> list[str]:
    """The names of models in the value of a setting: a name, several, or some by dimension."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [name for entry in value.values() for name in named_models(entry)]
    return (
        [name for entry in value for name in named_models(entry)] if isinstance(value, list | tuple) else []
    )

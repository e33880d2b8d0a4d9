"""A row as the folder of a version, which the registry takes as an ARM; and which rows cannot be one."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genarm.baselines.best_of_folder import write_best_of
from genarm.errors import AdapterError, ConfigError
from genarm.experiments import method_settings as given
from genarm.experiments.factories import weights
from genarm.models import ModelSource
from genarm.models.arm import CARD, files, is_full, read_card, write_card
from genarm.system.files import write_json
from genarm.types import ArmCard, Guidance, Provenance


@dataclass(frozen=True, slots=True)
class VersionContext:
    """What a version is made of: base, the folder of each model by name, its dimension and its origin.

    `origin` is what the card says of the experiment beside how the version was made.
    """

    base: ModelSource
    dtype: str
    models: Mapping[str, Path]
    dimension: str
    provenance: Provenance
    origin: Mapping[str, object]


Maker = Callable[[VersionContext, Mapping[str, Any], Path], ArmCard]
# Why the others cannot be served.
REFUSED = {
    "base": "a dimension without a champion is the base already: genarm registry rollback DIMENSION --to 0",
    "sharpened": "it is the base at another temperature: set respond.sampling.temperature in params.yaml",
    "proxy_tuning": "write it as a row `guided` with its ARM and `guidance: contrast`, which is the same",
    "args": "it asks a reward model at every token, which no version does; best_of_n can be served",
    "transfer_q": "it asks two more models at every token, which no version does",
    "cards": "it asks a reward model at every segment, which no version does; best_of_n can be served",
}


def soup(context: VersionContext, settings: Mapping[str, Any], out: Path) -> ArmCard:
    """The exact mean of two adapters, which is an adapter: contrast at weight 1 is the soup itself."""
    from genarm.baselines.training.soups import make_soup

    asked = given.SoupSettings(**settings)
    folders = {name: context.models[model] for name, model in asked.adapters.items()}
    card = make_soup(
        context.base,
        folders,
        dict(zip(folders, (asked.share, 1 - asked.share), strict=True)),
        name=context.dimension,
        dtype=context.dtype,
        out=out,
        provenance=replace(context.provenance, weight=1.0, guidance="contrast"),
    )
    return _with_origin(context, card, out)


def adapter(context: VersionContext, settings: Mapping[str, Any], out: Path) -> ArmCard:
    """A trained policy, which contrast at weight 1 is itself."""
    folder = context.models[given.AdapterSettings(**settings).adapter]
    return _arm(context, folder, 1.0, "contrast", out)


def guided(context: VersionContext, settings: Mapping[str, Any], out: Path) -> ArmCard:
    """One ARM at the weight that was measured. Raises ConfigError for several."""
    asked = given.GuidedSettings(**settings)
    if len(asked.arms) > 1:
        raise ConfigError(
            f"it is guided by {len(asked.arms)} ARMs at once, and a version is one",
            hint="register each from a row of its own; chat and predict take several champions at once",
        )
    [(name, model)] = asked.arms.items()
    return _arm(context, context.models[model], weights(asked)[name], asked.guidance, out, alone=False)


def parm(context: VersionContext, settings: Mapping[str, Any], out: Path) -> ArmCard:
    """The plain LoRA that a PARM is at the row's preference vector."""
    from genarm.baselines.parm.plain import write_plain

    asked = given.ParmSettings(**settings)
    vector = dict(zip(asked.dimensions, (asked.share, 1 - asked.share), strict=True))
    card = write_plain(context.models[asked.parm], vector, out, dimension=context.dimension)
    return _with_origin(context, replace(card, weight=asked.weight, guidance=asked.guidance), out)


def best_of_n(context: VersionContext, settings: Mapping[str, Any], out: Path) -> ArmCard:
    """Best of n with what chooses. Raises ConfigError where that is a judge, which no folder can hold."""
    asked = given.BestOfSettings(**settings)
    model = asked.reward or asked.arm
    if model is None:
        raise ConfigError(
            "a judge chooses, which is code or a service and lies in no version",
            hint="let a reward model or an ARM choose",
        )
    return write_best_of(
        context.models[model],
        asked.n,
        "reward" if asked.reward else "implicit" if asked.implicit else "arm",
        out=out,
        dimension=context.dimension,
        base=context.base,
        dtype=context.dtype,
        provenance=context.provenance,
        params=context.origin,
    )


def _arm(
    context: VersionContext, folder: Path, weight: float, by: Guidance, out: Path, *, alone: bool = True
) -> ArmCard:
    """A copy of an ARM's folder; `alone` says that it is to answer instead of the base, by contrast."""
    card = read_card(folder)
    if alone and (is_full(folder) or card.model_weights_sha256 != context.base.weights_sha256):
        raise AdapterError(
            f"{folder} is no adapter on {context.base.id}, so contrast at weight 1 is another model",
            hint="train it with method: lora, on the base",
        )
    out.mkdir(parents=True)
    for name in files(folder):
        shutil.copyfile(folder / name, out / name)
    card = replace(card, dimension=context.dimension, weight=weight, guidance=by)
    return _with_origin(context, write_card(out, card), out)


def _with_origin(context: VersionContext, card: ArmCard, out: Path) -> ArmCard:
    """The card with what the experiment is; the hash of the adapter stays."""
    card = replace(
        card,
        params={**card.params, **context.origin},
        data_md5=context.provenance.data_md5,
        git_commit=context.provenance.git_commit,
    )
    write_json(out / CARD, card)
    return card


MAKERS: dict[str, Maker] = {
    "soup": soup,
    "adapter": adapter,
    "guided": guided,
    "parm": parm,
    "best_of_n": best_of_n,
}

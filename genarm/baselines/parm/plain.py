"""A PARM on disk: written by its training, and turned into the plain LoRA that it is at one vector."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.decoding.preference import check_preference
from genarm.errors import AdapterError, RequestError
from genarm.models.arm import CONFIG, WEIGHTS, read_card, write_card
from genarm.models.bilinear import (
    Conditioning,
    bilinear_factors,
    conditioning_of,
    parm_config,
    plain_config,
)
from genarm.system.files import write_json
from genarm.training.lora import save_adapter
from genarm.types import ArmCard

if TYPE_CHECKING:
    from peft import PeftModel


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when all of it is written."""
    beside, old = (out.with_name(f".{out.name}.{kind}") for kind in ("new", "old"))
    for folder in (beside, old):
        shutil.rmtree(folder, ignore_errors=True)
    yield beside
    if out.exists():
        out.rename(old)
    beside.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def save_parm(model: "PeftModel", conditioning: Conditioning, out: Path, card: ArmCard) -> ArmCard:
    """Write a trained PARM as a folder: safetensors, configuration and card; `out` is the old or the new one.

    Its configuration names another kind of adapter than LoRA, so PEFT itself refuses the folder.
    """
    with _replacing(out) as beside:
        save_adapter(model, beside, card.model_id, card.model_revision)
        config = json.loads((beside / CONFIG).read_text(encoding="utf-8"))
        write_json(beside / CONFIG, parm_config(config, conditioning))
        return write_card(beside, card)


def write_plain(
    parm: Path, preference: Mapping[str, float], out: Path, *, dimension: str | None = None
) -> ArmCard:
    """Write the PEFT folder of the plain LoRA that a PARM is at one preference vector, with its card.

    It is a plain ARM from then on: decoded, registered, merged and exported as any other. `dimension` is what
    its card says it was trained for, by default the PARM's own. Dimensions that are not named have a share of
    0.

    Raises RequestError for shares that are none, AdapterError for a folder that is no PARM.
    """
    from safetensors.torch import load_file, save_file

    card = read_card(parm)
    config = json.loads((parm / CONFIG).read_text(encoding="utf-8"))
    conditioning = conditioning_of(config, str(parm / CONFIG))
    if conditioning is None:
        raise AdapterError(
            f"{parm} is no PARM: peft_type is {config.get('peft_type')!r}", hint="name the folder of a PARM"
        )
    check_preference(preference)
    unknown = [name for name in preference if name not in conditioning.dimensions]
    if unknown or not preference:
        raise RequestError(
            f"{parm} is not conditioned on {unknown[0]!r}" if unknown else "the preference is empty",
            hint=f"its dimensions are {', '.join(conditioning.dimensions)}",
        )
    vector = conditioning.vector(preference)
    tensors = {}
    for name, of in bilinear_factors(load_file(parm / WEIGHTS), conditioning, str(parm / WEIGHTS)).items():
        tensors[f"{name}.lora_A.weight"] = of.a
        tensors[f"{name}.lora_B.weight"] = of.up(vector).contiguous()
    shares = {name: float(preference.get(name, 0.0)) for name in conditioning.dimensions}
    card = replace(
        card,
        dimension=dimension or card.dimension,
        params={**card.params, "preference": shares, "parm_sha256": card.adapter_sha256},
    )
    with _replacing(out) as beside:
        beside.mkdir(parents=True)
        save_file(tensors, beside / WEIGHTS, metadata={"format": "pt"})
        write_json(beside / CONFIG, plain_config(config))
        return write_card(beside, card)

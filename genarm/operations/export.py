"""An ARM taken out of the registry: as a PEFT folder, or merged into its base model for other programs.

peft        the LoRA with its card, as `peft.PeftModel.from_pretrained` and `load_decoder` read it: exact
merged      one transformers model for one weight, near the guided policy (`genarm.operations.merged_model`)
gguf-ready  the same, with the command that makes a GGUF file of it
"""

import dataclasses
import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from genarm import __version__, registry
from genarm.errors import AdapterError, ConfigError, RegistryError
from genarm.models.arm import CARD, check_weights, files, is_full, own_source, read_card
from genarm.pipeline.project import Project
from genarm.registry import tags
from genarm.registry.served import refuse_best_of
from genarm.registry.versions import Use
from genarm.system.files import write_json, write_text
from genarm.system.process import OnLine, ignore
from genarm.types import ArmCard

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from genarm.operations.merged_model import Loss
    from genarm.registry.versions import Version

Form = Literal["merged", "peft", "gguf-ready"]
LINEAGE = (
    tags.DIMENSION, tags.ADAPTER_SHA256, tags.BASE_ID, tags.BASE_REVISION, tags.BASE_WEIGHTS_SHA256,
    tags.DATA_MD5, tags.PAIRS_SHA256, tags.PARAMS_SHA256, tags.GIT_COMMIT, tags.BETA, tags.WEIGHT,
    tags.PROMOTED_WEIGHT, tags.DECISION_RUN, tags.PROMOTED_BY, tags.PROMOTED_AT,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written where; a merged model is sampled at `temperature`, and `loss` says what it loses."""

    folder: Path
    form: Form
    dimension: str
    version: int
    weight: float
    temperature: float | None = None
    loss: "Loss | None" = None


def export(
    project: Project,
    dimension: str,
    *,
    version: int | str = tags.CHAMPION,
    to: Path | None = None,
    form: Form = "merged",
    weight: float | None = None,
    say: OnLine = ignore,
) -> Exported:
    """Write a version, by number or alias, to a folder that does not exist or is empty: all of it or nothing.

    `weight` is the decoding weight; where it is None, what the version was promoted with, or for the alias
    `challenger` what it is tried at; `to` is a folder below
    artifacts/exports/ by default. Raises ConfigError for a folder that holds something and for a weight of 0,
    RegistryError where there is no such version, AdapterError for an ARM that cannot be merged into a base:
    one that is no LoRA, or sits on another model than it guides.
    """
    known = project.params.known(dimension)
    if to is not None:
        _check_empty(to)
    if weight is not None and not (weight > 0 and math.isfinite(weight)):
        raise ConfigError(f"weight is {weight}", hint="give a number above 0; at 0 the base model is left")
    store = registry.connect(project.root)
    found = _find(store, known, version)
    folder = (to or project.layout.artifacts / "exports" / f"{known}-{found.number}-{form}").resolve()
    _check_empty(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        say("fetching the version")
        arm, beside = Path(temporary) / "arm", Path(temporary) / "export"
        store.fetch(known, found.champion(), arm)
        refuse_best_of(
            arm,
            found.name,
            "no model is merged or exported for it",
            f"mlflow.pyfunc.load_model('models:/{tags.model_name(known)}/{found.number}') serves it",
        )
        use = (found.tried if version == tags.CHALLENGER else None) or Use.of(found.champion())
        chosen = weight if weight is not None else use.weight
        card = dataclasses.replace(read_card(arm), weight=chosen, guidance=use.guidance)
        _check_form(card, arm, form)
        if chosen == 0:
            raise ConfigError(f"{found.name} has weight 0, which is the base model", hint="give --weight")
        beside.mkdir()
        result = Exported(folder, form, known, found.number, chosen)
        if form == "peft":
            for name in files(arm):
                shutil.copyfile(arm / name, beside / name)
            write_json(beside / CARD, card)
            write_text(beside / "README.md", _readme(project, card, found, result))
        else:
            result = _write_merged(project, card, arm, found, beside, result, say)
        beside.chmod(0o755)
        if folder.exists():
            folder.rmdir()  # it is empty
        beside.rename(folder)
    return result


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already and not empty", hint="name another folder: --to FOLDER")


def _find(store: "registry.Registry", dimension: str, version: int | str) -> "Version":
    if version == tags.CHAMPION and not store.champions([dimension])[dimension]:
        raise RegistryError(
            f"{dimension} has no champion yet",
            hint=f"genarm export {dimension} --version challenger, or a number of genarm registry list",
        )
    return store.version(dimension, version)


def _check_form(card: ArmCard, arm: Path, form: Form) -> None:
    """Raise AdapterError for a form that the ARM cannot have."""
    if is_full(arm):
        raise AdapterError(
            f"the ARM of {card.dimension!r} is a model of its own: two models cannot be merged into one, and "
            "it is no PEFT folder",
            hint=f"its transformers folder: mlflow artifacts download -u "
            f"models:/{tags.model_name(card.dimension)}@champion/artifacts/arm",
        )
    if form != "peft" and card.guides_another_model:
        raise AdapterError(
            f"the ARM of {card.dimension!r} adapts {card.model_id} and guides {card.guides_id}: a change of "
            "the one cannot be merged into the other",
            hint=f"genarm export {card.dimension} --form peft",
        )


def _write_merged(
    project: Project,
    card: ArmCard,
    arm: Path,
    version: "Version",
    into: Path,
    result: Exported,
    say: OnLine,
) -> Exported:
    """Merge, measure and write; the result with temperature and loss."""
    from genarm.models import load_model, load_tokenizer
    from genarm.operations.merged_folder import check_mergeable, save
    from genarm.operations.merged_model import merge, temperature_of

    params = project.params
    sampling = params.respond.sampling
    source = own_source(arm, card, project.base)
    check_weights(card, source)
    check_mergeable(source)
    tokenizer = load_tokenizer(source)
    say(f"loading {source.id}")
    model, loss = merge(
        load_model(source, params.base.dtype, params.base.device_map),
        arm,
        card.weight,
        guidance=card.guidance,
        prompts=_prompts(project, tokenizer),
        vocab=len(tokenizer),
        temperature=sampling.temperature,
        say=say,
    )
    say("writing the model")
    temperature = temperature_of(card.weight, sampling.temperature, card.guidance)
    save(model, tokenizer, into, temperature=temperature, top_k=sampling.top_k, top_p=sampling.top_p)
    result = dataclasses.replace(result, temperature=temperature, loss=loss)
    write_text(into / "README.md", _readme(project, card, version, result))
    return result


def _prompts(project: Project, tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    """A few evaluation prompts of the project, or questions that anybody may ask."""
    from genarm.models import render
    from genarm.operations.merged_folder import MEASURED, QUESTIONS

    known = project.layout.prompts.is_file()
    conversations = [prompt.messages for prompt in project.prompts()] if known else QUESTIONS
    rendered = (render(tokenizer, messages) for messages in conversations)
    short = (ids for ids in rendered if len(ids) <= 256)
    return [ids for ids, _ in zip(short, range(MEASURED), strict=False)]


def _readme(project: Project, card: ArmCard, version: "Version", result: Exported) -> str:
    from genarm.operations.merged_model import scale_of, sharpness_of

    sampling = project.params.respond.sampling
    page = _environment().get_template("export.md.jinja")
    return page.render(
        base_id=card.guides_id,
        base_revision=card.guides_revision,
        form=result.form,
        dimension=result.dimension,
        version=result.version,
        model=tags.model_name(result.dimension),
        genarm=__version__,
        weight=result.weight,
        guidance=card.guidance,
        scale=scale_of(result.weight, card.guidance),
        sharpness=sharpness_of(result.weight, card.guidance),
        dtype=project.params.base.dtype,
        name=result.folder.name,
        temperature=sampling.temperature,
        merged_temperature=result.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        loss=result.loss,
        lineage=_lineage(version.tags),
    )


def _lineage(known: Mapping[str, str]) -> dict[str, str]:
    return {tags.label(tag): known[tag] for tag in LINEAGE if known.get(tag)}


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

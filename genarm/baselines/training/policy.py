"""A trained policy on disk: a plain PEFT folder on the base, and the card by which the decoder serves it."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genarm.models import ModelSource
from genarm.models.arm import write_card
from genarm.system import metric_names as names
from genarm.training.checkpoints import disk_errors_named
from genarm.types import ArmCard, Provenance

EXTRA = "pip install 'genarm[baselines]'"
# A policy guides by contrast at weight 1: then it is what answers.
POLICY = Provenance(data_md5=None, git_commit=None, weight=1.0, guidance="contrast")


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training measured: named numbers, and the curves, a row a logged step."""

    metrics: dict[str, float]
    curves: list[dict[str, float]]


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder to write to, which takes the place of `out` once it is complete."""
    beside, old = (out.with_name(f".{out.name}.{kind}") for kind in ("new", "old"))
    for folder in (beside, old):
        shutil.rmtree(folder, ignore_errors=True)
    beside.mkdir(parents=True)
    with disk_errors_named(out):
        yield beside
        if out.exists():
            out.rename(old)
        beside.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def policy_card(
    folder: Path,
    *,
    name: str,
    base: ModelSource,
    beta: float,
    inputs_sha256: str,
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    dtype: str,
    provenance: Provenance = POLICY,
) -> ArmCard:
    """Write the card of the policy in `folder`; `inputs_sha256` is of what it was trained on.

    Times are left out, so that the same training writes the same card.
    """
    card = ArmCard(
        dimension=name,
        model_id=base.id,
        model_revision=base.revision,
        model_weights_sha256=base.weights_sha256,
        guides_id=base.id,
        guides_revision=base.revision,
        tokenizer_sha256=base.tokenizer_sha256,
        adapter_sha256="",
        beta=beta,
        weight=provenance.weight,
        pairs_sha256=inputs_sha256,
        data_md5=provenance.data_md5,
        git_commit=provenance.git_commit,
        params=dict(params),
        metrics={key: value for key, value in metrics.items() if "second" not in key},
        dtype=dtype,
        chat_template=base.chat_template,
        guidance=provenance.guidance,
    )
    return write_card(folder, card)


def curves_of(log: list[dict[str, Any]], called: Mapping[str, str]) -> list[dict[str, float]]:
    """The metrics named in `called`, by their names here, of each step in a trainer's log."""
    return [
        {
            names.STEP: float(row[names.STEP]),
            **{own: float(row[key]) for key, own in called.items() if key in row},
        }
        for row in log
        if names.LOSS in row
    ]

"""The card of an ARM that was just made, of any kind: what fits it, and where it comes from."""

from collections.abc import Mapping

from genarm.models.load import load_tokenizer
from genarm.models.source import ModelSource
from genarm.models.template_date import pinned_date
from genarm.types import ArmCard, Provenance


def card_of(
    dimension: str,
    base: ModelSource,
    provenance: Provenance,
    *,
    beta: float,
    pairs_sha256: str,
    dtype: str,
    sits_on: ModelSource | None = None,
    params: Mapping[str, object] | None = None,
    metrics: Mapping[str, float] | None = None,
    quantise: str | None = None,
) -> ArmCard:
    """The card of an ARM that guides `base`; the hash of its weights is filled in as it is written.

    `sits_on` is the model below it, where that is not the base; `pairs_sha256` is of what it learned from.
    Times among the metrics are left out, so that the same training writes the same card.
    """
    below = sits_on or base
    return ArmCard(
        dimension=dimension,
        model_id=below.id,
        model_revision=below.revision,
        model_weights_sha256=below.weights_sha256,
        guides_id=base.id,
        guides_revision=base.revision,
        tokenizer_sha256=base.tokenizer_sha256,
        adapter_sha256="",
        beta=beta,
        weight=provenance.weight,
        pairs_sha256=pairs_sha256,
        data_md5=provenance.data_md5,
        git_commit=provenance.git_commit,
        params=dict(params or {}),
        metrics={name: value for name, value in (metrics or {}).items() if "second" not in name},
        dtype=dtype,
        quantise=quantise,
        warm_start=provenance.warm_start,
        chat_template=base.chat_template,
        template_date=pinned_date(load_tokenizer(base).chat_template),
        guidance=provenance.guidance,
    )

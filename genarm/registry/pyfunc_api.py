"""What the code stored with model versions calls. A stable surface: signatures may grow, never change.

Registered versions hold a copy of `pyfunc.py` as it was when they were made. For them to load under a later
genarm, `load_arm(folder, config)` and `answer(rows)` must go on to accept and return what they do now.

Versions registered before this module existed import `arms` from genarm and read a few fields of the card
that it returns: `genarm.arms` is `StoredBefore`, for their sake alone.
"""

import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from genarm.decoding import GuidedDecoder, GuidedRequest
from genarm.errors import AdapterError, GenarmError, RegistryError, RequestError
from genarm.models import resolve
from genarm.models.arm import check_weights, is_full, read_card
from genarm.registry.pyfunc_rows import Row, read_rows
from genarm.registry.served import open_served
from genarm.registry.tags import CHAMPION, model_name
from genarm.system.redact import redact
from genarm.types import Guidance

log = logging.getLogger(__name__)
T = TypeVar("T")


class StoredArm:
    """A base model and one ARM or best of n, ready to answer, alone or with ARMs of other dimensions.

    See `load_arm`.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        card = read_card(folder)
        base = os.environ.get("GENARM_BASE") or config.get("base")
        self._source = resolve(
            base or card.guides_id, None if base else card.guides_revision, card.chat_template
        )
        self._dimension, self._weight, self._config = card.dimension, card.weight, config
        self._tuned = {card.dimension: card.guidance}
        self._contrast = False  # whether what full models were trained from is loaded, too
        self._fetched: Path | None = None
        self._decoder: GuidedDecoder | None = None
        self._folders = {card.dimension: folder}
        self._load({}, contrast=card.guidance == "contrast" and is_full(folder))

    def answer(self, rows: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """One `response`, `tokens`, `finish_reason` and `kl` for each row, in order.

        `rows` and `params` are what `genarm.registry.pyfunc_rows` reads. The first row that gives weight to
        another dimension loads the base model once more, together with that ARM. Each ARM guides by what its
        weight was tuned for, sum or contrast, unless the row says `guidance` and `other_guidance`. `kl` is
        the mean over the tokens of KL(guided || base) in nats. Raises RequestError for a row that makes no
        sense, RegistryError where an ARM is not found, AdapterError where it does not fit the base.
        """
        data = list(rows) if isinstance(rows, Iterable) and not hasattr(rows, "__len__") else rows
        read = read_rows(data, params, self._dimension)
        weights = [self._weights(row) for row in read]
        found = {name: self._find(name) for name in _names(weights) if name not in self._folders}
        rows_weights = list(enumerate(zip(read, weights, strict=True)))
        guidances = [_of_row(n, self._guidance, row, named) for n, (row, named) in rows_weights]
        folders = self._folders | found
        contrasted = {name for guidance in guidances for name, by in guidance.items() if by == "contrast"}
        self._load(found, contrast=any(is_full(folders[name]) for name in contrasted))
        assert self._decoder is not None
        requests = [_of_row(n, self._request, row, named, guidances[n]) for n, (row, named) in rows_weights]
        return [
            {"response": r.text, "tokens": len(r.tokens), "finish_reason": r.finish_reason, "kl": r.kl}
            for r in self._decoder.generate(requests)
        ]

    def _weights(self, row: Row) -> dict[str, float]:
        """The weights of a row, without ARMs that have none: they need not be loaded."""
        given = {self._dimension: self._weight} if row.weights is None else row.weights
        return {name: weight for name, weight in given.items() if weight or name == self._dimension}

    def _guidance(self, row: Row, weights: Mapping[str, float]) -> dict[str, Guidance]:
        """What each weight of a row multiplies: what it was tuned for, or what the row insists on."""
        for name, weight in weights.items():
            if weight and row.guidance not in (None, tuned := self._tuned[name]) and not row.other_guidance:
                raise RequestError(
                    f"the weight of {name!r} was tuned for guidance {tuned!r}, and {row.guidance!r} is asked "
                    "for, under which it means another thing",
                    hint="leave guidance out, or say other_guidance=True beside it",
                )
        return {name: row.guidance or self._tuned[name] for name in weights}

    def _request(
        self, row: Row, weights: Mapping[str, float], guidance: Mapping[str, Guidance]
    ) -> GuidedRequest:
        assert self._decoder is not None
        return GuidedRequest(
            self._decoder.prompt(row.messages),
            weights,
            temperature=row.temperature,
            top_p=row.top_p,
            max_new_tokens=row.max_new_tokens,
            seed=row.seed,
            guidance=guidance,
        )

    def _load(self, missing: dict[str, Path], *, contrast: bool) -> None:
        """Have a decoder with these ARMs beside those that it has, and what is contrasted with full ones."""
        if self._decoder is not None and not missing and self._contrast >= contrast:
            return
        contrast |= self._contrast
        self._decoder = None  # two models at once may not fit
        self._decoder = open_served(
            self._source,
            self._folders | missing,
            dtype=os.environ.get("GENARM_DTYPE") or self._config.get("dtype", "bfloat16"),
            batch_size=int(self._config.get("batch_size", 32)),
            contrast=contrast,
        )
        self._contrast = contrast
        self._folders |= missing

    def _find(self, dimension: str) -> Path:
        """The ARM of another dimension: where `config["arms"]` says, or the champion in the registry.

        `config["arms"]` maps dimensions to folders or to addresses as MLflow has them. Without it the address
        is `models:/genarm-<dimension>@champion` in the registry that MLflow is set to at this moment.
        """
        place = str((self._config.get("arms") or {}).get(dimension) or default_place(dimension))
        folder = Path(place) if Path(place).is_dir() else self._download(place, dimension)
        card = read_card(folder)
        if card.dimension != dimension:
            raise AdapterError(
                f"{place} holds an ARM for {card.dimension!r}, not for {dimension!r}",
                hint=f'weights are by dimension: {{"{card.dimension}": ...}}',
            )
        if not is_full(folder) and not card.guides_another_model:
            check_weights(card, self._source)
        log.info("guided by %s too: adapter %s from %s", dimension, card.adapter_sha256[:12], place)
        self._tuned[dimension] = card.guidance
        return folder

    def _download(self, place: str, dimension: str) -> Path:
        import mlflow
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        if self._fetched is None:
            self._fetched = Path(tempfile.mkdtemp(prefix="genarm-arms-"))
            weakref.finalize(self, shutil.rmtree, self._fetched, ignore_errors=True)
        into = self._fetched / dimension
        into.mkdir(parents=True, exist_ok=True)
        try:
            return Path(download_artifacts(artifact_uri=f"{place}/artifacts/arm", dst_path=str(into)))
        except (MlflowException, OSError, ValueError) as error:
            reason = redact(str(error)).strip().partition("\n")[0]
            raise RegistryError(
                f"weights name {dimension!r}, and {place} is not found in "
                f"{redact(str(mlflow.get_registry_uri()))}: {reason}",
                hint="set MLFLOW_TRACKING_URI to the registry that holds it, or name its folder: "
                f'load_model(..., model_config={{"arms": {{"{dimension}": "FOLDER"}}}})',
            ) from None


def _names(weights: Iterable[Mapping[str, float]]) -> list[str]:
    """Every dimension that some row gives a weight, once."""
    return list(dict.fromkeys(name for named in weights for name in named))


def _of_row(number: int, make: Callable[..., T], *of: object) -> T:
    """What is made of a row; an error says of which."""
    try:
        return make(*of)
    except GenarmError as error:
        raise type(error)(f"row {number}: {error.message}", hint=error.hint) from None


def default_place(dimension: str) -> str:
    """The address of a dimension's champion."""
    return f"models:/{model_name(dimension)}@{CHAMPION}"


def load_arm(folder: Path, config: Mapping[str, Any]) -> StoredArm:
    """The ARM in `folder` with the base model it guides, loaded.

    The base is the one that `$GENARM_BASE` names, else `config["base"]`, else that of the ARM's card; the
    precision comes from `$GENARM_DTYPE`, else `config["dtype"]`; `config["arms"]` says where ARMs of other
    dimensions are. Raises AdapterError where the folder was altered, ModelError where the base model is not
    found.
    """
    return StoredArm(folder, config)


class StoredBefore:
    """`genarm.arms` for versions registered before this module existed."""

    @staticmethod
    def read_card(folder: Path) -> SimpleNamespace:
        """The fields of the card that such a version reads, by the names it knows."""
        card = read_card(folder)
        return SimpleNamespace(
            dimension=card.dimension,
            weight=card.weight,
            base_id=card.model_id,
            base_revision=card.model_revision,
            guides=card.guides_id if card.guides_another_model else None,
            guides_revision=card.guides_revision if card.guides_another_model else None,
        )

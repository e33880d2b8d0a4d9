"""What the code stored with model versions calls. A stable surface: signatures may grow, never change.

Registered versions hold a copy of `pyfunc.py` as it was when they were made. For them to load under a later
genarm, `load_arm(folder, config)` and `answer(rows)` must go on to accept and return what they do now.

Versions registered before this module existed import `arms` from genarm and read a few fields of the card
that it returns: `genarm.arms` is `StoredBefore`, for their sake alone.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from genarm.decoding import GuidedRequest, load_decoder
from genarm.models import load_tokenizer, render, resolve
from genarm.models.arm import read_card
from genarm.types import Message


class StoredArm:
    """A base model and one ARM, ready to answer; made by `load_arm`."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        card = read_card(folder)
        base = os.environ.get("GENARM_BASE") or config.get("base")
        source = resolve(base or card.guides_id, None if base else card.guides_revision, card.chat_template)
        self._dimension, self._weight = card.dimension, card.weight
        self._tokenizer = load_tokenizer(source)
        self._decoder = load_decoder(
            source,
            {card.dimension: folder},
            dtype=os.environ.get("GENARM_DTYPE") or config.get("dtype", "bfloat16"),
            batch_size=int(config.get("batch_size", 32)),
        )

    def answer(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One `response`, `tokens`, `finish_reason` for each row.

        A row has a `prompt` and may have `weight`, `temperature`, `max_new_tokens` and `seed`; a missing
        value (None, NaN) counts as absent.
        """
        responses = self._decoder.generate([self._request(row) for row in rows])
        return [
            {"response": r.text, "tokens": len(r.tokens), "finish_reason": r.finish_reason} for r in responses
        ]

    def _request(self, row: Mapping[str, Any]) -> GuidedRequest:
        import pandas as pd

        given = {str(name): value for name, value in row.items() if not pd.isna(value)}
        return GuidedRequest(
            prompt=tuple(render(self._tokenizer, [Message("user", str(given["prompt"]))])),
            weights={self._dimension: float(given.get("weight", self._weight))},
            temperature=float(given.get("temperature", 1.0)),
            top_k=0,
            top_p=1.0,
            max_new_tokens=int(given.get("max_new_tokens", 128)),
            seed=int(given.get("seed", 0)),
        )


def load_arm(folder: Path, config: Mapping[str, Any]) -> StoredArm:
    """The ARM in `folder` with the base model it guides, loaded.

    The base is the one that `$GENARM_BASE` names, else `config["base"]`, else that of the ARM's card; the
    precision comes from `$GENARM_DTYPE`, else `config["dtype"]`. Raises AdapterError where the folder was
    altered, ModelError where the base model is not found.
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

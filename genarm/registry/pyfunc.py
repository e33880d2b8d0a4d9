"""The model stored with every version: base and ARM together, behind MLflow's `predict`.

MLflow copies this file into the version and runs it on load, so it leans on genarm as installed. The base
model is not stored: it is found by the id in `arm.json`, or where `$GENARM_BASE` or `model_config` say.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class ArmModel(PythonModel):
    """Rows with a `prompt` -> rows with a `response`; weight, temperature, max_new_tokens, seed if given."""

    def load_context(self, context: Any) -> None:
        from genarm import models
        from genarm.decoding import load_decoder
        from genarm.models import arm as arms

        folder, config = Path(context.artifacts["arm"]), context.model_config or {}
        self.card = arms.read_card(folder)
        base = os.environ.get("GENARM_BASE") or config.get("base")
        known = (self.card.guides_id, self.card.guides_revision)
        source = models.resolve(base) if base else models.resolve(*known)
        self.tokenizer = models.load_tokenizer(source)
        self.decoder = load_decoder(
            source,
            {self.card.dimension: folder},
            dtype=os.environ.get("GENARM_DTYPE") or config.get("dtype", "bfloat16"),
            batch_size=int(config.get("batch_size", 32)),
        )

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        requests = [self._request(row) for row in model_input.to_dict("records")]
        answers = self.decoder.generate(requests)
        return pd.DataFrame(
            [{"response": a.text, "tokens": len(a.tokens), "finish_reason": a.finish_reason} for a in answers]
        )

    def _request(self, row: dict[str, Any]) -> Any:
        from genarm.decoding import GuidedRequest
        from genarm.models import render
        from genarm.types import Message

        given = {name: value for name, value in row.items() if not pd.isna(value)}
        return GuidedRequest(
            prompt=tuple(render(self.tokenizer, [Message("user", str(given["prompt"]))])),
            weights={self.card.dimension: float(given.get("weight", self.card.weight))},
            temperature=float(given.get("temperature", 1.0)),
            top_k=0,
            top_p=1.0,
            max_new_tokens=int(given.get("max_new_tokens", 128)),
            seed=int(given.get("seed", 0)),
        )


set_model(ArmModel())

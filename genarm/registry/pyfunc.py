"""The model stored with every version: base and ARM together, behind MLflow's `predict`.

MLflow copies this file into the version and runs the copy on load, perhaps under a much later genarm. So the
only thing it imports from genarm is `load_arm` of `genarm.registry.pyfunc_api`, which promises to stay.
The base model is not stored: it is found by the id in `arm.json`, or where `$GENARM_BASE` or `model_config`
say.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class ArmModel(PythonModel):
    """Prompts, or rows with a `prompt` and settings -> rows with the `response`."""

    def load_context(self, context: Any) -> None:
        """Load base model and ARM."""
        from genarm.registry.pyfunc_api import load_arm

        self.arm = load_arm(Path(context.artifacts["arm"]), context.model_config or {})

    # Texts and lists come, too, but of any other hint MLflow would make a schema, and refuse them.
    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row of `response`, `tokens`, `finish_reason` and `kl` for each prompt."""
        return pd.DataFrame(self.arm.answer(model_input, params))


set_model(ArmModel())

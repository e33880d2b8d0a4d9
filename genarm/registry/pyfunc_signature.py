"""What MLflow shows of a stored model: its parameters, the columns that it returns, and an example."""

from typing import TYPE_CHECKING

from genarm.registry.pyfunc_rows import SETTINGS

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

TYPES = {
    "weight": "double",
    "weights": "string",  # JSON: MLflow's parameters are plain values
    "temperature": "double",
    "top_p": "double",
    "max_new_tokens": "long",
    "seed": "long",
    "guidance": "string",
    "other_guidance": "boolean",
}
COLUMNS = {"response": "string", "tokens": "long", "finish_reason": "string", "kl": "double"}
EXAMPLE = (["Tell me about rain."], {"max_new_tokens": 32, "seed": 1})


def signature() -> "ModelSignature":
    """Parameters and returned columns.

    The input has no schema: with one, MLflow makes a table of whatever comes and refuses texts and lists.
    `read_rows` checks the input instead.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema

    columns = [ColSpec(kind, name) for name, kind in COLUMNS.items()]
    params = [ParamSpec(name, TYPES[name], default) for name, default in SETTINGS.items()]
    return ModelSignature(outputs=Schema(columns), params=ParamSchema(params))  # type: ignore[arg-type]

"""The bodies of requests in `/openapi.json`: they are read by us, so FastAPI does not know them."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

SCHEMAS = "#/components/schemas/{model}"


def takes(kind: type[BaseModel]) -> dict[str, Any]:
    """What a route adds to its description for a body of this kind."""
    schema = {"$ref": SCHEMAS.format(model=kind.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def publish(app: FastAPI, *kinds: type[BaseModel]) -> None:
    """Add the schemas of these bodies to those that the application tells."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        _, found = models_json_schema([(kind, "validation") for kind in kinds], ref_template=SCHEMAS)
        schema.setdefault("components", {}).setdefault("schemas", {}).update(found["$defs"])
        return schema

    app.openapi = openapi  # type: ignore[method-assign]

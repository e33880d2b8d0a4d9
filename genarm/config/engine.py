"""Where the evaluation prompts are answered: on guided servers, in place of the stage's own process."""

from typing import Any

from pydantic import Field, field_validator

from genarm.config.api import Address, KeyName
from genarm.config.numbers import Section


class EngineConfig(Section):
    """Guided servers that answer the evaluation prompts; no stage runs again because they change."""

    server: tuple[Address, ...] = Field(
        min_length=1,
        description="address of a guided server (`genarm serve`), such as http://gpu-1:8000/v1; of several, "
        "each answers a part of the prompts",
    )
    key: KeyName | None = Field(
        None,
        description="name of the environment variable that holds the key; null: the servers ask for none",
    )
    concurrency: int = Field(32, ge=1, description="requests in flight together at each server")
    timeout: float = Field(600.0, gt=0, description="seconds that one answer may take, waiting included")
    patience: float = Field(
        300.0, gt=0, description="seconds without any answer after which a server is given up"
    )

    @field_validator("server", mode="before")
    @classmethod
    def _a_text_alone(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("server")
    @classmethod
    def _each_once(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        bare = [server.rstrip("/") for server in servers]
        if twice := [server for server in bare if bare.count(server) > 1]:
            raise ValueError(f"{twice[0]} stands there twice")
        return tuple(bare)

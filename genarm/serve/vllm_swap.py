"""How vLLM's server is told of other versions: one line of JSON each way, over a socket of this user's alone.

    asked      {"load": {dimension: folder}, "served": what `write_served` writes}
    answered   {"refused": {dimension: why}}, or {"error": why} where nothing was changed

An ARM's weights are replaced in place, as graphs and compiled code allow, so nothing may be decoding
meanwhile: requests wait. The prefix cache has what the old weights made of the prompts, and is emptied.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from genarm.errors import GenarmError
from genarm.serve.lineup import Lineup
from genarm.serve.vllm_body import read_served
from genarm.serve.vllm_gate import Gate

SOCKET = "GENARM_SWAP"
DRAIN_SECONDS = 120.0  # in which open requests have to end; the next look tries again

log = logging.getLogger(__name__)


class Swapper:
    """Changes what vLLM serves; `state` is that of its FastAPI application."""

    def __init__(self, lineup: Lineup, state: Any) -> None:
        self.lineup, self.state, self.gate = lineup, state, Gate()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Take orders at the socket that the environment names, if it names one."""
        if (path := os.environ.get(SOCKET)) is None:
            yield
            return
        async with await asyncio.start_unix_server(self._ordered, path):
            yield

    async def _ordered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = json.loads(await reader.readline())
            told: dict[str, Any] = {"refused": await self.swap(asked["load"], read_served(asked["served"]))}
        except Exception as error:
            log.exception("the versions could not be changed")
            told = {"error": str(error) or type(error).__name__}
        with suppress(OSError):  # whoever asked has gone
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def swap(self, load: Mapping[str, str], wanted: Lineup) -> dict[str, str]:
        """Serve other versions; of a dimension that is refused the old one stays, and why is returned.

        `load` has the folders of those whose weights are others. Raises TimeoutError where open requests
        did not end, and nothing is changed then.
        """
        engine, refused = self.state.engine_client, {}
        try:
            async with self.gate.shut(DRAIN_SECONDS):
                await engine.pause_generation(mode="wait", clear_cache=True)
                try:
                    for dimension, folder in load.items():
                        told = await engine.collective_rpc("swap_arm", args=(dimension, folder))
                        if why := next(filter(None, told), None):  # one of each worker, all the same
                            refused[dimension] = why
                finally:
                    await engine.resume_generation()
                self._serve(wanted, refused)
        except TimeoutError:
            raise TimeoutError(f"open requests did not end within {DRAIN_SECONDS:g} s") from None
        return refused

    def _serve(self, wanted: Lineup, refused: Mapping[str, str]) -> None:
        arms = {
            dimension: self.lineup.arms.get(dimension) if dimension in refused else arm
            for dimension, arm in wanted.arms.items()
        }
        served = {dimension: arm for dimension, arm in arms.items() if arm}
        self.lineup = Lineup(wanted.decoder, wanted.base_id, served)
        paths = self.state.openai_serving_models.base_model_paths  # the one list that it looks names up in
        first = paths[0]
        paths[:] = [type(first)(name=n, model_path=first.model_path) for n in self.lineup.models()]


def order(path: Path, load: Mapping[str, Path], served: str) -> dict[str, str]:
    """Ask the server at a socket for a swap; what it refuses, and why. Raises GenarmError where it failed."""
    asked = {
        "load": {dimension: str(folder.resolve()) for dimension, folder in load.items()},
        "served": served,
    }
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2 * DRAIN_SECONDS)
            connection.connect(str(path))
            connection.sendall(json.dumps(asked).encode() + b"\n")
            with connection.makefile("rb") as answer:
                told = json.loads(answer.readline() or b'{"error": "it is gone"}')
    except (OSError, ValueError) as error:
        told = {"error": str(error)}
    if "error" in told:
        raise GenarmError(f"vLLM's server did not take other versions: {told['error']}")
    refused: dict[str, str] = told["refused"]
    return refused

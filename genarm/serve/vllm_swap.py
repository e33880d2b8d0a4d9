"""How vLLM's server is told of other versions: one line of JSON each way, over a socket of this user's alone.

    asked      {"load": {dimension: folder}, "served": what `write_served` writes}
    answered   {"refused": {dimension: why}, "failed": {dimension: why}}, or {"error": why}

An ARM's weights are replaced in place, as graphs and compiled code allow, so nothing may be decoding
meanwhile: requests wait. The prefix cache has what the old weights made of the prompts, and is emptied. Of a
dimension that is refused the old version stays. One that failed may be written in part, on some of several
workers, and is served no more until a swap succeeds.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from genarm.errors import GenarmError
from genarm.serve.errors import overloaded
from genarm.serve.lineup import Lineup, ServedArm
from genarm.serve.vllm_body import read_served
from genarm.serve.vllm_gate import Gate
from genarm.serve.vllm_metrics import vllm_metrics
from genarm.system.redact import redact

SOCKET = "GENARM_SWAP"
DRAIN_SECONDS = 120.0  # in which open requests have to end
ENGINE_SECONDS = 60.0  # for each call: an engine that has died answers none
ANSWER_SECONDS = 600.0  # for whoever asks

log = logging.getLogger(__name__)


class Swapper:
    """Changes what vLLM serves; `state` is that of its FastAPI application."""

    def __init__(self, lineup: Lineup, state: Any) -> None:
        self.lineup, self.state, self.gate = lineup, state, Gate()
        self.refused: dict[str, dict[str, object]] = {}  # by dimension, what the last swap did not serve
        self.metrics = vllm_metrics()
        self.metrics.serves(lineup.versions)
        self._one_at_a_time = asyncio.Lock()
        self._told_arms: tuple[str, ...] | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Take orders at the socket that the environment names, if it names one."""
        if (path := os.environ.get(SOCKET)) is None:
            yield
            return
        async with await asyncio.start_unix_server(self._ordered, path):
            yield

    async def told_arms(self) -> tuple[str, ...]:
        """The ARMs as the engine tells their rewards, which it does from the first request on that asks.

        Raises ApiError where the engine does not answer.
        """
        if self._told_arms is None:
            try:
                async with asyncio.timeout(ENGINE_SECONDS):
                    told, *_ = await self.state.engine_client.collective_rpc("tell_rewards")
            except TimeoutError:
                raise overloaded("the engine does not answer") from None
            self._told_arms = tuple(told)
        return self._told_arms

    async def _ordered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told: dict[str, Any]
        try:
            asked = json.loads(await reader.readline())
            told = await self.swap(asked["load"], read_served(asked["served"]))
        except Exception as error:
            log.exception("the versions could not be changed")
            told = {"error": str(error) or type(error).__name__}
        with suppress(OSError):  # whoever asked has gone
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def swap(self, load: Mapping[str, str], wanted: Lineup) -> dict[str, dict[str, str]]:
        """Serve other versions; what was refused and what failed, and why, by dimension.

        `load` has the folders of those whose weights are others. Raises TimeoutError where open requests do
        not end or the engine does not pause; nothing is changed then.
        """
        engine = self.state.engine_client
        told: dict[str, dict[str, str]] = {"refused": {}, "failed": {}}
        async with self._one_at_a_time, self.gate.shut(DRAIN_SECONDS):
            try:
                async with asyncio.timeout(ENGINE_SECONDS):
                    await engine.pause_generation(mode="wait", clear_cache=True)
                for dimension, folder in load.items():
                    outcome, why = await self._loaded(dimension, folder)
                    if outcome != "done":
                        told[outcome][dimension] = why
                self._serve(wanted, told["refused"], told["failed"])
            finally:
                async with asyncio.timeout(ENGINE_SECONDS):
                    await engine.resume_generation()
        return told

    async def _loaded(self, dimension: str, folder: str) -> tuple[str, str]:
        """What all workers say together: what some did and others did not has failed."""
        try:
            async with asyncio.timeout(ENGINE_SECONDS):
                answers = await self.state.engine_client.collective_rpc("swap_arm", args=(dimension, folder))
        except Exception as error:
            return "failed", str(error) or type(error).__name__
        outcomes = {outcome for outcome, _ in answers}
        why = next((why for _, why in answers if why), "")
        return (outcomes.pop(), why) if len(outcomes) == 1 else ("failed", why)

    def _serve(self, wanted: Lineup, refused: Mapping[str, str], failed: Mapping[str, str]) -> None:
        arms = kept(wanted.arms, self.lineup.arms, refused, failed)
        self.lineup = replace(wanted, arms=arms)
        self.refused = {
            d: {"version": wanted.arms[d].champion.version, "reason": redact(why)}
            for d, why in {**refused, **failed}.items()
        }
        self.metrics.swaps.labels("refused" if self.refused else "done").inc()
        self.metrics.serves(self.lineup.versions)
        paths = self.state.openai_serving_models.base_model_paths  # the one list that it looks names up in
        first = paths[0]
        paths[:] = [type(first)(name=n, model_path=first.model_path) for n in self.lineup.models()]


def kept(
    wanted: Mapping[str, ServedArm],
    old: Mapping[str, ServedArm],
    refused: Collection[str],
    failed: Collection[str] = (),
) -> dict[str, ServedArm]:
    """What is wanted, with the old version of a dimension that is refused, and without one that failed."""
    arms = {d: old.get(d) if d in refused else arm for d, arm in wanted.items() if d not in failed}
    return {dimension: arm for dimension, arm in arms.items() if arm}


def order(path: Path, load: Mapping[str, Path], served: str) -> dict[str, dict[str, str]]:
    """Ask the server at a socket for a swap; what is refused and what failed, and why.

    Raises GenarmError where it is not known whether anything was changed.
    """
    asked = {
        "load": {dimension: str(folder.resolve()) for dimension, folder in load.items()},
        "served": served,
    }
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(path))
            connection.sendall(json.dumps(asked).encode() + b"\n")
            with connection.makefile("rb") as answer:
                told: dict[str, Any] = json.loads(answer.readline() or b'{"error": "it is gone"}')
    except (OSError, ValueError) as error:
        told = {"error": str(error)}
    if "error" in told:
        raise GenarmError(
            f"vLLM's server did not take other versions: {told['error']}",
            hint="its log says more; it is asked again by itself",
        )
    return told

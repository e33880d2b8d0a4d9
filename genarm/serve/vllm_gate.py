"""A gate before vLLM's server: while versions change, new requests wait for those that are open to end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Open but while something is changed. Used from one event loop."""

    def __init__(self) -> None:
        self._free, self._empty = asyncio.Event(), asyncio.Event()
        self._free.set()
        self._empty.set()
        self._inside = 0

    @property
    def is_shut(self) -> bool:
        """Whether new requests wait."""
        return not self._free.is_set()

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """A request, which waits while the gate is shut."""
        while self.is_shut:
            await self._free.wait()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @asynccontextmanager
    async def shut(self, seconds: float) -> AsyncIterator[None]:
        """A time in which no request is inside. Raises TimeoutError where one has not ended by then."""
        self._free.clear()
        try:
            try:
                await asyncio.wait_for(self._empty.wait(), seconds)
            except TimeoutError:
                raise TimeoutError(f"open requests did not end within {seconds:g} s") from None
            yield
        finally:
            self._free.set()

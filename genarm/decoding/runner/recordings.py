"""Recorded steps by what they fit, each used by one batch at a time, as many as may keep their memory."""

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class Recording(Protocol):
    """What is kept."""

    @property
    def key(self) -> Hashable:
        """Equal for two that can stand in for each other."""

    @property
    def free(self) -> bool:
        """Whether nothing uses it."""

    @property
    def bytes(self) -> int:
        """The memory that it holds."""


R = TypeVar("R", bound=Recording)


class Recordings(Generic[R]):
    """All recordings of a model: those in use, and free ones until their memory is wanted."""

    def __init__(self) -> None:
        self._held: list[R] = []  # those used last come last

    def __len__(self) -> int:
        return len(self._held)

    def fitting(self, key: Hashable) -> R | None:
        """The free recording with this key that was used last; None where there is none."""
        return next((held for held in reversed(self._held) if held.free and held.key == key), None)

    def used(self, recording: R, most: int) -> None:
        """Note that a recording is the one used last, and drop free ones that hold more than `most` bytes.

        The longest unused are dropped first. What is in use is never dropped, and does not count.
        """
        self._held = [held for held in self._held if held is not recording]
        kept, room = [], most
        for held in reversed(self._held):
            if held.free and held.bytes > room:
                room = 0  # what was used before it is dropped, too, however small
                continue
            room -= held.bytes if held.free else 0
            kept.append(held)
        self._held = [*reversed(kept), recording]

    def drop_free(self) -> None:
        """Drop all that nothing uses."""
        self._held = [held for held in self._held if not held.free]

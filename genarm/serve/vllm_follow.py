"""Follows the champions for vLLM's server: fetches and checks what changed, and has it swapped in."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from genarm.errors import AdapterError, GenarmError
from genarm.serve.lineup import ServedArm
from genarm.serve.opening import Opener
from genarm.serve.vllm_body import write_served
from genarm.serve.vllm_command import check_version
from genarm.serve.watcher import told
from genarm.system.redact import redact

log = logging.getLogger(__name__)

Order = Callable[[Mapping[str, Path], str], dict[str, str]]


class Follower:
    """What is served, and what was refused. `order` has versions swapped, and returns what it refuses."""

    def __init__(
        self, opener: Opener, arms: Mapping[str, ServedArm], order: Order, say: Callable[[str], None]
    ) -> None:
        self.opener, self.order, self.say = opener, order, say
        self.arms, self.started = dict(arms), frozenset(arms)
        self._refused: dict[str, ServedArm] | None = None
        self._away = False

    def look(self) -> bool:
        """Look once, and swap where something changed; whether it was swapped. Raises nothing."""
        try:
            wanted = self.opener.wanted()
        except Exception as error:
            if not self._away:
                known = redact(str(error)) if isinstance(error, GenarmError) else type(error).__name__
                log.warning("the champions cannot be read, so the versions stay: %s", known)
            self._away = True
            return False
        self._away = False
        if wanted == self.arms:
            self._refused = None
        if wanted in (self.arms, self._refused):
            return False
        try:
            return self._swap(wanted)
        except Exception as error:
            log.warning(
                "the versions stay, and the next look tries again: %s", redact(str(error)),
                exc_info=None if isinstance(error, GenarmError) else error,
            )  # fmt: skip
            return False

    def _swap(self, wanted: dict[str, ServedArm]) -> bool:
        load, refused = self._fetched(wanted)
        served = self._kept(wanted, refused)
        if served != self.arms:
            late = self.order(load, write_served(self.opener.project.base.id, served))
            refused |= late
            served = self._kept(served, late)
        for dimension, why in refused.items():
            log.warning("%s cannot be served: %s", told({dimension: wanted[dimension]}), redact(why))
        self._refused = wanted if refused else None
        if served == self.arms:
            return False
        self.arms = served
        self.say(f"now served: {told(served)}")
        self.opener.tidy(served)
        return True

    def _fetched(self, wanted: Mapping[str, ServedArm]) -> tuple[dict[str, Path], dict[str, str]]:
        """The folders of versions with other weights, and what cannot be served. Raises what may pass."""
        load: dict[str, Path] = {}
        refused: dict[str, str] = {}
        for dimension, arm in wanted.items():
            old = self.arms.get(dimension)
            if old and old.champion.adapter_sha256 == arm.champion.adapter_sha256:
                continue
            try:
                if dimension not in self.started:
                    raise AdapterError("vLLM has no rows for this dimension: start the server anew")
                folder = self.opener.fetch(arm)
                check_version(self.opener.project.base, arm, folder)
                load[dimension] = folder
            except GenarmError as error:
                if getattr(error, "retryable", False):
                    raise
                refused[dimension] = str(error)
        return load, refused

    def _kept(self, wanted: Mapping[str, ServedArm], refused: Mapping[str, str]) -> dict[str, ServedArm]:
        """What is wanted, with the old version of a dimension that is refused."""
        arms = {d: self.arms.get(d) if d in refused else arm for d, arm in wanted.items()}
        return {dimension: arm for dimension, arm in arms.items() if arm}

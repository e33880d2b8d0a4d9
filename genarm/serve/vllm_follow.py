"""Follows the champions for vLLM's server: fetches and checks what changed, and has it swapped in."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from genarm.errors import AdapterError, GenarmError
from genarm.serve.lineup import ServedArm
from genarm.serve.opening import Opener
from genarm.serve.vllm_body import write_served
from genarm.serve.vllm_command import check_version
from genarm.serve.vllm_swap import kept
from genarm.serve.watcher import told as told_of
from genarm.system.redact import redact

log = logging.getLogger(__name__)

REST = 120.0  # seconds after a failure, doubled with each: a swap that fails has kept requests waiting
LONGEST_REST = 3600.0
Order = Callable[[Mapping[str, Path], str], dict[str, dict[str, str]]]


class Follower:
    """What is served, and what was refused. `order` has versions swapped, and says what was not."""

    def __init__(
        self, opener: Opener, arms: Mapping[str, ServedArm], order: Order, say: Callable[[str], None]
    ) -> None:
        self.opener, self.order, self.say = opener, order, say
        self.arms, self.started = dict(arms), frozenset(arms)
        self._refused: dict[str, ServedArm] | None = None
        self._away = False
        self._unknown = False  # whether an order may have been carried out without an answer
        self._failures, self._rests_until = 0, 0.0

    def look(self) -> bool:
        """Look once, and swap where something changed; whether it was swapped. Raises nothing."""
        if time.monotonic() < self._rests_until:
            return False
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
        if not self._unknown and wanted in (self.arms, self._refused):
            return False
        try:
            changed = self._swap(wanted)
        except Exception as error:
            self._rest()
            log.warning(
                "the versions stay, and a later look tries again: %s", redact(str(error)),
                exc_info=None if isinstance(error, GenarmError) else error,
            )  # fmt: skip
            return False
        return changed

    def _rest(self) -> None:
        self._rests_until = time.monotonic() + min(REST * 2**self._failures, LONGEST_REST)
        self._failures += 1

    def _swap(self, wanted: dict[str, ServedArm]) -> bool:
        with self.opener.alone():
            load, refused = self._fetched(wanted)
            served, failed = kept(wanted, self.arms, refused), dict[str, str]()
            unknown = self._unknown
            if served != self.arms or unknown:
                asked, self._unknown = write_served(self.opener.project.base.id, served), True
                told = self.order(load, asked)
                failed = told["failed"]
                served = kept(served, self.arms, told["refused"], failed)
                refused |= told["refused"]
                self._unknown = unknown and bool(refused)  # which version stayed there is not known either
        for dimension, why in (refused | failed).items():
            log.warning("%s cannot be served: %s", told_of({dimension: wanted[dimension]}), redact(why))
        self._refused = wanted if refused and not failed else None
        if failed or self._unknown:
            self._rest()
        else:
            self._failures = 0
        if served == self.arms:
            return False
        self.arms = served
        self.say(f"now served: {told_of(served)}")
        self.opener.tidy(served)
        return True

    def _fetched(self, wanted: Mapping[str, ServedArm]) -> tuple[dict[str, Path], dict[str, str]]:
        """The folders of versions with other weights, and what cannot be served. Raises what may pass."""
        load: dict[str, Path] = {}
        refused: dict[str, str] = {}
        for dimension, arm in wanted.items():
            old = self.arms.get(dimension)
            same = old and old.champion.adapter_sha256 == arm.champion.adapter_sha256
            if same and not self._unknown:
                continue
            try:
                if dimension not in self.started:
                    raise AdapterError("vLLM has no rows for this dimension", hint="start the server anew")
                folder = self.opener.fetch(arm)
                check_version(self.opener.project.base, arm, folder)
                load[dimension] = folder
            except GenarmError as error:
                if getattr(error, "retryable", False):
                    raise
                refused[dimension] = str(error)
        return load, refused

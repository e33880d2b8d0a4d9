"""The plain policy on a GPU: draw and measures are recorded too, and their numbers are read one step late.

What the host decides after a step is who has ended. So the next step may begin with the drawn tokens where
they are, on the device; a slot that turns out to have ended has then read a token more, as every free slot
does. Without a GPU this is the plain policy, unless steps are recorded there too.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.engine.policy import (
    GUIDED,
    PlainPolicy,
    StepOutput,
    all_measured,
    arm_logits,
    at_position,
    uniform_position,
)
from genarm.decoding.engine.slots import Slots
from genarm.decoding.guidance import Scores
from genarm.decoding.runner.cuda_graph import CudaGraphStep, record, upload
from genarm.decoding.runner.ensemble import Ensemble
from genarm.decoding.runner.part import PartLogits, Start, gathered
from genarm.decoding.sampling import BatchSampling, distribution, draw

AHEAD_ON = {"cuda"}  # where a step may begin before the last one's numbers are read
KEPT = 32  # recorded draws: one for each arrangement of slots and way of sampling that was seen lately
Key = tuple[object, ...]


@dataclass(eq=False)
class BegunStep:
    """A step whose tokens [n, 1] are on the device, and its numbers [4, n, 1] on their way to the host."""

    tokens: Tensor
    numbers: Tensor
    arrived: torch.cuda.Event | None

    def output(self) -> StepOutput:
        """The numbers, once they are there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        host = self.numbers.numpy()
        return StepOutput(host[0].astype(np.int64), np.ones(host.shape[1], int), host[1], host[3], {})


class RecordedPolicy(PlainPolicy):
    """The plain policy, recorded where it can be: not with top-k, top-p, or rewards told token by token."""

    def __init__(self) -> None:
        self._draws: list[RecordedDraw] = []  # those used last come last

    def step(self, ensemble: Ensemble, slots: Slots) -> StepOutput:
        """Read the newest token of every slot and draw the next one, if that has not begun yet."""
        begun, slots.ahead = slots.ahead, None
        if begun is not None:
            ensemble.count_ahead()
        if not isinstance(begun, BegunStep):
            if isinstance(begun, list):
                read = begun
            else:
                newest = torch.from_numpy(slots.next[:, None]).to(slots.device)
                read = ensemble.read(newest, ensemble.parts)
            if not recordable(ensemble, slots):
                return self.drawn(gathered(read), slots)
            begun = self._draw_of(ensemble, read, slots).run(read, slots, 0)
        more = slots.live & (slots.limit - slots.count > 1)
        ahead = slots.read_ahead and slots.device.type in AHEAD_ON and bool(more.any())
        if ahead and ensemble.fits(self.reach) and recordable(ensemble, slots):
            read = ensemble.read(begun.tokens, ensemble.parts, ahead=True)
            if recordable(ensemble, slots):
                slots.ahead = self._draw_of(ensemble, read, slots).run(read, slots, 1)
            else:  # it has just been found out that it is not: the next step draws from what is read
                slots.ahead = read
        return begun.output()

    def _draw_of(self, ensemble: Ensemble, read: Sequence[PartLogits], slots: Slots) -> "RecordedDraw":
        key = _key(ensemble, slots)
        self._draws = [draw for draw in self._draws if draw.usable][-KEPT:]
        found = next((draw for draw in self._draws if draw.key == key), None)
        if found is None:
            found = RecordedDraw(ensemble, read, slots, key)
        else:
            self._draws.remove(found)
        self._draws.append(found)
        return found


def recordable(ensemble: Ensemble, slots: Slots) -> bool:
    """Whether a step's draw can be recorded: its passes are, and it asks the host for nothing."""
    recorded = all(
        of_part.batch.recorded is not None
        and of_part.part.trunk.recorder.enabled
        and of_part.part.trunk.device == slots.device
        for of_part in ensemble.batches
    )
    told = any(s is not None and s.request.return_rewards for s in slots.states)
    return recorded and not (told or bool((slots.top_k > 0).any()) or bool((slots.top_p < 1).any()))


def _key(ensemble: Ensemble, slots: Slots) -> Key:
    """Equal for two steps that read the same memory and draw in the same way."""
    places = tuple(
        (id(of_part.batch.recorded), tuple(of_part.slots), *map(tuple, of_part.places.serving.values()))
        for of_part in ensemble.batches
    )
    sampling = slots.sampling
    return places, sampling.greedy, sampling.tempered, bool((slots.temperature == 0).all())


class RecordedDraw:
    """From the logits of recorded passes to tokens and their measures, on memory of its own."""

    def __init__(self, ensemble: Ensemble, read: Sequence[PartLogits], slots: Slots, key: Key) -> None:
        self.key, self.device, self.read = key, slots.device, list(read)
        steps = [of_part.batch.recorded for of_part in ensemble.batches]
        self._steps: list[weakref.ref[CudaGraphStep]] = [weakref.ref(step) for step in steps if step]
        n, given = len(slots), slots.sampling
        self.uniform = torch.zeros(n, dtype=torch.float64, device=self.device)
        self.sampling = BatchSampling(
            torch.ones(n, dtype=torch.float32, device=self.device),
            *(given.top_k, given.top_p),
            greedy=given.greedy,
            tempered=given.tempered,
            cut_k=False,
            cut_p=False,
        )
        self.greedy = bool((slots.temperature == 0).all())
        self._weights = {
            arm: torch.zeros(len(served), dtype=torch.float32, device=self.device)
            for of_part in read
            for arm, served in of_part.places.serving.items()
            if not isinstance(arm, Start) and served
        }
        self._seen: tuple[object, int] = None, 0
        self._again: Callable[[], Tensor] | None = None

    @property
    def usable(self) -> bool:
        """Whether the recorded passes that it reads the logits of are still there."""
        return all(step() is not None for step in self._steps)

    def weights(self, arm: str, slots: Tensor) -> Tensor:
        """The weight [m] of an ARM in each of the slots [m] that it guides."""
        return self._weights[arm]

    def run(self, read: Sequence[PartLogits], slots: Slots, ahead: int) -> BegunStep:
        """Draw the token of every slot that is so many `ahead` of the next one."""
        if self.device.type != "cuda":  # a graph's logits are always in the same place
            self.read = list(read)
        upload(slots.uniform[np.arange(len(slots)), uniform_position(slots, ahead), GUIDED], self.uniform)
        if self._seen[0] is not slots or self._seen[1] != slots.version:
            self._take(slots)
        if self._again is None:
            self._again = record(self._draw, self.device)
        numbers = self._again()
        tokens = numbers[0].long()
        if not numbers.is_cuda:
            return BegunStep(tokens, numbers, None)
        host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        host.copy_(numbers, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(self.device))
        return BegunStep(tokens, host, arrived)

    def _take(self, slots: Slots) -> None:
        """Take up what the requests ask for."""
        upload(slots.temperature.copy(), self.sampling.temperature)
        for of_part in self.read:
            for arm, served in of_part.places.serving.items():
                if not isinstance(arm, Start) and served:
                    upload(np.array(slots.weights_of(arm, served), dtype=np.float32), self._weights[arm])
        self._seen = slots, slots.version

    def _draw(self) -> Tensor:
        """Tokens and their measures, [4, n, 1]."""
        logits = gathered(self.read)
        assert logits.base is not None
        scores = Scores.of(logits.base[:, -1], arm_logits(at_position(logits, -1), self))
        if self.greedy:
            token = scores.total.argmax(-1)
        else:
            token = draw(distribution(scores.total, self.sampling, scores.full), self.uniform)
        return all_measured(token[:, None], [scores])

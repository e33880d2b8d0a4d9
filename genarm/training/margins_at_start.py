"""What each validation pair's margin was before the first step, kept for a training that is resumed."""

from pathlib import Path

import torch
from torch import Tensor

from genarm.system.files import read_json, write_json
from genarm.training.checkpoints import disk_errors_named
from genarm.training.logps_at_start import Start
from genarm.training.margins import implicit_measures
from genarm.training.process_group import is_main_process

FILE = "margins-at-start.json"  # beside the checkpoints, which hold only means over the pairs


class MarginsAtStart:
    """Notes the margins of the first evaluation and compares those of later ones with them.

    The start of a training is the model below its ARM, which is what it is before the first step. Not so with
    a warm start, where what that model gives is handed in as `start`.
    """

    def __init__(
        self, folder: Path, beta: float, parts: dict[str, Tensor], start: Start | None = None
    ) -> None:
        self._file, self._beta, self._parts = folder / FILE, beta, parts
        self._given = start is not None and start.implicit
        self._start: Tensor | None = start.margins if start and self._given else None

    def metrics(self, margins: Tensor | None, step: int) -> dict[str, float]:
        """The implicit reward's measures in an evaluation at this step; `margins` [p] in nats.

        Nothing where the checkpoint that was resumed predates the file.
        """
        if margins is None:
            return {}
        if step == 0 and not self._given:
            self._start = margins
            if is_main_process():
                with disk_errors_named(self._file.parent):
                    write_json(self._file, margins.tolist())
        elif self._start is None and self._file.is_file():
            self._start = torch.tensor(read_json(self._file, list[float]), dtype=torch.float64)
        if self._start is None:
            return {}
        return implicit_measures(margins, self._start, self._beta, self._parts)

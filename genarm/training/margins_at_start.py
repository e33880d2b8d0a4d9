"""What each validation pair's margin was before the first step, kept for a training that is resumed."""

from pathlib import Path

import torch
from torch import Tensor

from genarm.system import metric_names as names
from genarm.system.files import read_json, write_json
from genarm.training.checkpoints import disk_errors_named
from genarm.training.diagnostics import implicit_accuracy
from genarm.training.process_group import is_main_process

FILE = "margins-at-start.json"  # beside the checkpoints, which hold only means over the pairs


class MarginsAtStart:
    """Notes the margins of the first evaluation and compares those of later ones with them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._start: Tensor | None = None

    def metrics(self, margins: Tensor | None, step: int) -> dict[str, float]:
        """The implicit accuracy of an evaluation at this step; `margins` [p] in nats.

        Nothing where the checkpoint that was resumed predates the file.
        """
        if margins is None:
            return {}
        if step == 0:
            self._start = margins
            if is_main_process():
                with disk_errors_named(self._file.parent):
                    write_json(self._file, margins.tolist())
        elif self._start is None and self._file.is_file():
            self._start = torch.tensor(read_json(self._file, list[float]), dtype=torch.float64)
        return (
            {} if self._start is None else {names.IMPLICIT_ACCURACY: implicit_accuracy(margins, self._start)}
        )

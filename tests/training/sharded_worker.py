"""One of two processes whose weights are sharded by FSDP2, without a GPU: `sharded_worker.py PROJECT [STOP]`.

accelerate shards on GPUs alone, by what it finds; told that it found some, it does the same over gloo.
"""

import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from genarm.errors import TrainingError
from genarm.pipeline.project import Project
from genarm.pipeline.train_process import train_in_process
from genarm.training.distributed import SharedSteps
from genarm.training.watch import Watch

found, prepared, ended = PartialState.__init__, SharedSteps._prepare_for_training, Watch.on_step_end


def finds_gpus(self, *arguments, **more):
    found(self, *arguments, **more)
    self.__dict__["distributed_type"] = DistributedType.MULTI_GPU


def is_sharded(self, *arguments):
    result = prepared(self, *arguments)
    assert all(isinstance(weight, DTensor) for weight in self.adapted.parameters())
    print("sharded", flush=True)
    return result


def stops(self, args, state, control, **more):
    self._asked = self._asked or state.global_step == int(sys.argv[2])
    ended(self, args, state, control, **more)


PartialState.__init__, SharedSteps._prepare_for_training = finds_gpus, is_sharded
if len(sys.argv) > 2:
    Watch.on_step_end = stops
try:
    train_in_process(Project(Path(sys.argv[1])), "loud")
except TrainingError as error:
    print(error, flush=True)

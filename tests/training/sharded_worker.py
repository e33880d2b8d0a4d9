"""One of two processes whose weights are sharded by FSDP2, without a GPU: `sharded_worker.py PROJECT [STOP]`.

accelerate shards only on GPUs; made to believe that it has some, it does the same over gloo.
"""

import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from genarm.errors import TrainingError
from genarm.pipeline import stages
from genarm.training.callbacks import CheckpointCallback
from genarm.training.distributed import DistributedTrainer

initialise, model_prepared = PartialState.__init__, DistributedTrainer.model_prepared
on_step_end = CheckpointCallback.on_step_end


def finds_gpus(self, *arguments, **more):
    initialise(self, *arguments, **more)
    self.__dict__["distributed_type"] = DistributedType.MULTI_GPU


def is_sharded(self, model):
    model_prepared(self, model)
    assert all(isinstance(weight, DTensor) for weight in self.adapted.parameters())
    print("sharded", flush=True)


def stops(self, args, state, control, **more):
    if state.global_step == int(sys.argv[2]):
        self.request_stop()
    on_step_end(self, args, state, control, **more)


PartialState.__init__, DistributedTrainer.model_prepared = finds_gpus, is_sharded
if len(sys.argv) > 2:
    CheckpointCallback.on_step_end = stops
try:
    stages.train_here(Path(sys.argv[1]), "loud")
except TrainingError as error:
    print(error, flush=True)

"""DPO (arXiv 2305.18290), by our own trainer: `objective: dpo`, with loss and gradient of TRL's DPOTrainer.

    loss = -log sigmoid(beta * (r(chosen) - r(rejected))),  r(y) = log p(y | x) - log p_base(y | x)

`tests/training/test_trl.py` compares the two on the same tensors. The rival is the adapter as a policy, not
as a guide.
"""

from pathlib import Path

from genarm.baselines.training.policy import POLICY
from genarm.config import TrainConfig
from genarm.models import ModelSource
from genarm.training.callbacks import Journal, quiet
from genarm.training.train import train_arm
from genarm.training.trained import Trained
from genarm.types import Provenance


def train(
    base: ModelSource,
    pairs: Path,
    validation: Path,
    *,
    name: str,
    dtype: str,
    config: TrainConfig,
    out: Path,
    work: Path,
    provenance: Provenance = POLICY,
    journal: Journal = quiet,
) -> Trained:
    """Train on a file of pairs and write the policy to `out`; whatever `config.objective` says, it is DPO's.

    `work` holds the checkpoints: a training that was killed ends with the same bytes. Raises what `train_arm`
    raises.
    """
    result = train_arm(
        pairs,
        validation,
        dimension=name,
        base=base,
        dtype=dtype,
        config=config.model_copy(update={"objective": "dpo"}),
        out=out,
        checkpoints=work,
        provenance=provenance,
        journal=journal,
    )
    return Trained(result.metrics, result.curves)

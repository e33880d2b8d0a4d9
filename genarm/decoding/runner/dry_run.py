"""Whether a model can be decoded, found out without its weights by a pass over shapes alone.

What only numbers show is left to the trial that `build_trunk` makes with the weights.
"""

import logging

import numpy as np
import torch
from transformers import PreTrainedModel

from genarm.decoding.runner import attention
from genarm.decoding.runner.batch import ModelBatch
from genarm.decoding.runner.build_trunk import MISFITS, TRIAL
from genarm.decoding.runner.forward import layerwise_forward, whole_forward
from genarm.decoding.runner.lora_rows import RowContext
from genarm.decoding.runner.trunk import Trunk
from genarm.errors import ModelError


@torch.inference_mode()
def check_decodable(skeleton: PreTrainedModel) -> None:
    """Raise the ModelError with which decoding would refuse the model; `skeleton` lies on the meta device.

    A model that cannot be run without numbers, such as one that routes tokens to experts, is let pass.
    """
    ids = torch.zeros((2, TRIAL), dtype=torch.long, device="meta")
    try:
        skeleton(input_ids=ids, use_cache=False)
    except Exception as error:  # whatever a model does with values that are not there
        logging.getLogger(__name__).debug("%s has no dry run: %s", type(skeleton).__name__, error)
        return
    attention.register()
    before = attention.selected(skeleton)
    reason = ""
    for make, implementation in (
        (layerwise_forward, attention.NAME),
        (whole_forward, attention.NAME),
        (whole_forward, before),
    ):
        try:
            skeleton.set_attn_implementation(implementation)
            trunk = Trunk(skeleton, make(skeleton, RowContext()), vocab=1)
            batch = ModelBatch(trunk, len(ids), {}, TRIAL, bare=True)
            batch.feed(ids[:, :-1], np.array([TRIAL // 2, TRIAL - 1]), head=None)
            batch.feed(ids[:, -1:], head=slice(-1, None))
            return
        except MISFITS as error:
            reason = f"{type(error).__name__}: {error}"
    raise ModelError(
        f"{type(skeleton).__name__} cannot be decoded with a cache of keys and values: {reason}",
        hint="take a decoder-only model whose layers are attention",
    )

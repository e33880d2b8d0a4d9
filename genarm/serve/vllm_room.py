"""The room that vLLM leaves for versions to come, since its buffers and caches are made once, at the start.

The next version of a dimension is trained as `params.yaml` says, so the room is that of such a training. What
the versions served at the start need beyond it is added where they are loaded (`genarm.vllm.layout`).

Each rank of `max_rank` costs an ARM in each of its layers, whether a version uses it or not,

    3 (d + q + 2 k) + (q + d) + 2 (d + 2 i) + (i + d)        linear modules qkv, o, gate and up, down

numbers of the base's precision, and a multiplication by each for every token; d, q, k and i are the widths of
hidden states, queries, keys and the MLP. A layer costs an ARM what it costs the base, KV cache included.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genarm.models import ModelSource

if TYPE_CHECKING:  # vLLM's environment lacks what reads params.yaml
    from genarm.config import TrainConfig


def room_for(base: ModelSource, layers: int, trainings: Mapping[str, "TrainConfig"]) -> dict[str, Any]:
    """`max_rank` over these dimensions, and the `first_layer` of each, of a base with so many layers.

    A training that ends in no LoRA on the base needs none: what it makes is not served by vLLM.
    """
    loras = {
        dimension: training.lora
        for dimension, training in trainings.items()
        if training.method == "lora" and training.model in (None, base.id)
    }
    if not loras:
        return {}
    return {
        "max_rank": max(lora.rank for lora in loras.values()),
        "first_layer": {
            dimension: 0 if lora.layers == "all" else max(layers - lora.layers, 0)
            for dimension, lora in loras.items()
        },
    }

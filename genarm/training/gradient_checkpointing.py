"""Less memory for more time: layers keep only their input and compute the rest again in the backward pass.

transformers' own switch needs the model in training mode, and a graph that starts at the embeddings. We train
in evaluation mode, without dropout in the base, and keep no graph below the lowest layer that trains.
"""

from functools import partial
from typing import TYPE_CHECKING

from torch.utils.checkpoint import checkpoint

from genarm.models.layers import decoder_layers
from genarm.training.transformers_hooks import Forward, replace_forward

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def enable_gradient_checkpointing(model: "PreTrainedModel") -> int:
    """Checkpoint each layer from the lowest trained one up; returns how many there are.

    Random numbers, as dropout draws them, are the same in the second pass.
    """
    _, layers = decoder_layers(model)
    trained = [i for i, layer in enumerate(layers) if any(p.requires_grad for p in layer.parameters())]
    for layer in layers[trained[0] :]:
        replace_forward(layer, _checkpointed)
    return len(layers) - trained[0]


def _checkpointed(forward: Forward) -> Forward:
    return partial(checkpoint, forward, use_reentrant=False)

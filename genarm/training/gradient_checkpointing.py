"""Less memory for more time: layers keep their input alone and compute the rest again in the backward pass.

transformers' own switch wants the model in training mode, and a graph that starts at the embeddings. We train
in evaluation mode, without dropout in the base, and keep no graph below the lowest layer that trains.
"""

from functools import partial
from typing import TYPE_CHECKING

from torch.utils.checkpoint import checkpoint

from genarm.models.layers import decoder_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def recompute(model: "PreTrainedModel") -> int:
    """Let the layers from the lowest trained one up recompute themselves; how many they are.

    Random numbers, as dropout draws them, are drawn again as they were.
    """
    _, layers = decoder_layers(model)
    trained = [i for i, layer in enumerate(layers) if any(p.requires_grad for p in layer.parameters())]
    for layer in layers[trained[0] :]:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    return len(layers) - trained[0]

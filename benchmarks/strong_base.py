"""A strong base for speculation: a model made deeper, whose layers cost what layers cost.

The added layers start as identity, as what they write to the residual stream is multiplied by zero. Noise in
those matrices then moves the deep model's policy away from the shallow one's, and a small search finds the
noise at which a draft of the guided shallow model is accepted as often as wanted:

    P(accepted) = 1 - TV(p, q) = sum_v min(p(v), q(v))      p ~ strong * ARM, q ~ shallow * ARM
"""

import copy
import math

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

OUTWARD = ("o_proj", "down_proj")  # what a layer writes with
START = 1e-3  # of the noise, in units of the spread of the layer's own matrix
ROUNDS = 6  # of the search; each halves the range on a logarithmic scale
RANGE = (5e-3, 1.0)


class StrongBase:
    """A copy of `model`, `times` deeper, and the noise in the layers that were added."""

    def __init__(self, model: PreTrainedModel, times: int = 4) -> None:
        self.model = copy.deepcopy(model)
        layers = self.model.get_decoder().layers
        depth, self.scale = len(layers), START
        generator = torch.Generator(model.device).manual_seed(0)
        self._written: list[Tensor] = []
        for index in range(depth, times * depth):
            layer = copy.deepcopy(layers[index % depth])
            layer.self_attn.layer_idx = index
            layers.append(layer)
            for path, module in layer.named_modules():
                if isinstance(module, nn.Linear) and path.endswith(OUTWARD):
                    spread = float(module.weight.detach().float().std()) * START
                    module.weight.data.normal_(0, spread, generator=generator)
                    self._written.append(module.weight.data)
        config = self.model.config
        config.num_hidden_layers = len(layers)
        if getattr(config, "layer_types", None):
            config.layer_types = list(config.layer_types) * times
        for part in self.model.modules():  # each copied layer has a copy of the configuration, too
            if hasattr(part, "config"):
                part.config = config  # type: ignore[assignment]

    def set_noise(self, scale: float) -> None:
        """Scale the noise, in units of the spread of each layer's own matrix."""
        for weight in self._written:
            weight.mul_(scale / self.scale)
        self.scale = scale

    @torch.inference_mode()
    def tune(
        self, shallow: PreTrainedModel, arm: PreTrainedModel, ids: Tensor, wanted: float, prompt: int
    ) -> float:
        """Set the noise so that guided drafts of `ids` [b, s] after the prompt are accepted so often.

        Returns how often they are at the nearest noise of the range.
        """
        first = prompt - 1
        arm_logprobs = _logits(arm, ids, first)
        draft = (_logits(shallow, ids, first) + arm_logprobs).softmax(-1)
        low, high = map(math.log, RANGE)
        accepted = 1.0
        for _ in range(ROUNDS):
            self.set_noise(math.exp((low + high) / 2))
            policy = (_logits(self.model, ids, first) + arm_logprobs).softmax(-1)
            accepted = float(torch.minimum(policy, draft).sum(-1).mean())
            low, high = ((low + high) / 2, high) if accepted > wanted else (low, (low + high) / 2)
        return accepted


def _logits(model: PreTrainedModel, ids: Tensor, first: int) -> Tensor:
    """log p of what follows each token from `first` on, but for the last."""
    out = model(input_ids=ids[:, :-1], use_cache=False, logits_to_keep=ids.shape[1] - 1 - first)
    return out.logits.float().log_softmax(-1)

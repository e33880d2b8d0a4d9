"""One model in the place of a base model and its ARM, which is near the guided policy and not equal to it.

The guided policy is a product of models, and no single set of weights gives it. To first order in the LoRA's
change D of the weights it is one model, under the sum at another temperature:

    log p_arm(v)                   = log p_base(v) + J(v) D + O(D^2)
    log p_base(v) + w log p_arm(v) = (1 + w) log p_base(v) + w J(v) D + O(D^2)
                                   = (1 + w) log p_merged(v) + O(D^2)     where D is scaled by w / (1 + w)

    log p_base(v) + w (log p_arm(v) - log p_base(v)) = log p_base(v) + w J(v) D + O(D^2)
                                                     = log p_merged(v) + O(D^2)      where D is scaled by w

So under the sum the change is merged at scale w / (1 + w), and the model is sampled at temperature
T / (1 + w); under contrast at scale w and temperature T, which is exact at w = 1. Log-probabilities differ by
O(D^2) and the KL by O(D^4); `Loss` says by how much for this ARM.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genarm.system.process import OnLine
from genarm.types import Guidance

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

TOKENS = 24  # of each response that is measured


@dataclass(frozen=True, slots=True)
class Loss:
    """What merging loses: means over `tokens` tokens that the merged policy drew, in nats."""

    merged: float  # KL(guided || merged)
    sharpened: float  # KL(guided || base at the merged temperature), what is lost without the ARM's change;
    # under contrast that temperature is the same, and this is `base`
    base: float  # KL(guided || base), what guidance does at all
    prompts: int
    tokens: int


def sharpness_of(weight: float, guidance: Guidance = "sum") -> float:
    """How many times log p_base is in the guided policy, to first order: 1 + w, under contrast 1."""
    return 1 + weight if guidance == "sum" else 1


def scale_of(weight: float, guidance: Guidance = "sum") -> float:
    """What the LoRA's change is multiplied by."""
    return weight / sharpness_of(weight, guidance)


def temperature_of(weight: float, temperature: float, guidance: Guidance = "sum") -> float:
    """The temperature at which the merged model stands for the guided policy at `temperature`."""
    return temperature / sharpness_of(weight, guidance)


def merge(
    base: "PreTrainedModel",
    folder: Path,
    weight: float,
    *,
    prompts: Sequence[Sequence[int]],
    vocab: int,
    temperature: float = 1.0,
    guidance: Guidance = "sum",
    say: OnLine | None = None,
) -> "tuple[PreTrainedModel, Loss]":
    """`base` with the LoRA in `folder` merged into its weights, and what that loses on some prompts.

    `vocab` is how many ids are tokens. Where the temperature is 0, the loss is that at temperature 1.
    `say` is told what is being done.
    """
    from peft import PeftModel

    tell = say or (lambda line: None)
    with warnings.catch_warnings():  # transformers tells peft of a name that it will drop
        warnings.simplefilter("ignore", FutureWarning)
        model = PeftModel.from_pretrained(base, str(folder)).eval()
    sampled = temperature or 1.0
    scale, sharpness = scale_of(weight, guidance), sharpness_of(weight, guidance)
    with _scaled(model, scale):
        tell("answering a few prompts")
        texts = [_continue(model, ids, sampled / sharpness) for ids in prompts]
    tell("comparing with the guided policy")
    reads = _reader(texts, [len(ids) for ids in prompts], vocab)
    with model.disable_adapter():
        alone = reads(model)
    rest = 1 if guidance == "sum" else 1 - weight  # log p_base + w (log p_arm - log p_base)
    guided = [rest * b + weight * a for b, a in zip(alone, reads(model), strict=True)]  # [t, v] a prompt
    for layer in _layers(model):
        layer.scale_layer(scale)
    merged: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    sharp, near = ([sharpness * scores for scores in read] for read in (alone, reads(merged)))
    loss = Loss(
        _mean_kl(guided, near, sampled),
        _mean_kl(guided, sharp, sampled),
        _mean_kl(guided, alone, sampled),
        len(prompts),
        sum(len(scores) for scores in guided),
    )
    return merged, loss


def _layers(model: "PeftModel") -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer)]


@contextmanager
def _scaled(model: "PeftModel", scale: float) -> Iterator[None]:
    """The LoRA at another scale meanwhile; a scale of 0 is one that `unscale_layer` could not undo."""
    layers = _layers(model)
    before = [dict(layer.scaling) for layer in layers]
    for layer in layers:
        layer.scale_layer(scale)
    yield
    for layer, scaling in zip(layers, before, strict=True):
        layer.scaling.update(scaling)


@torch.inference_mode()
def _continue(model: Any, prompt: Sequence[int], temperature: float) -> list[int]:
    """A prompt with a response drawn to it."""
    ids = torch.tensor([list(prompt)], device=model.device)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=TOKENS,
            pad_token_id=0,
        )
    return [int(token) for token in drawn[0]]


def _reader(
    texts: Sequence[Sequence[int]], lengths: Sequence[int], vocab: int
) -> Callable[[Any], list[Tensor]]:
    """A function from a model to its log-probabilities [t, v] at the tokens of each response."""

    @torch.inference_mode()
    def read(model: Any) -> list[Tensor]:
        result = []
        for ids, length in zip(texts, lengths, strict=True):
            logits = model(input_ids=torch.tensor([list(ids)], device=model.device)).logits
            result.append(logits[0, length - 1 : -1, :vocab].float().log_softmax(-1).cpu())
        return result

    return read


def _mean_kl(of: Sequence[Tensor], to: Sequence[Tensor], temperature: float) -> float:
    """Mean over tokens of KL(of || to) at a temperature, from scores that need not be normalised."""
    total = 0.0
    for p, q in zip(of, to, strict=True):
        # In float64: what rounding adds to the normaliser is larger than a small KL.
        p, q = ((scores.double() / temperature).log_softmax(-1) for scores in (p, q))
        total += float((p.exp() * (p - q)).sum())
    return total / max(1, sum(len(p) for p in of))

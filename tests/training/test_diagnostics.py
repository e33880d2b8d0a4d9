"""Diagnostics worked by hand, the warning at its edges, and layers that are computed again."""

import copy
import math

import pytest
import torch
from torch.testing import assert_close
from toy_training import initialise_lora_b

from genarm.config import LoraConfig
from genarm.training.collate import collate
from genarm.training.diagnostics import (
    evaluation_diagnostics,
    kl_sample,
    kl_to_base,
    reward_hacking_warning,
)
from genarm.training.gradient_checkpointing import enable_gradient_checkpointing
from genarm.training.logps import pair_logps, prepare
from genarm.training.lora import add_lora, fuse_lora
from genarm.training.tokens import TokenPair

PAIRS = [
    TokenPair("a", [1, 2, 3], [4, 5, 256], [6, 256]),
    TokenPair("b", [7, 8], [9, 256], [10, 11, 12, 13, 256]),
]


def adapted(toy, layers: int = 2, fused: bool = True):
    model = copy.deepcopy(toy.model)
    packed = prepare(model, PAIRS)
    assert packed
    torch.manual_seed(1)
    arm = add_lora(model, LoraConfig(layers=layers, rank=2)).eval()
    initialise_lora_b(arm, std=0.3)
    if fused:
        fuse_lora(arm)
    return arm


@pytest.mark.parametrize("packed", [True, False])
def test_kl_to_base_is_that_of_its_definition(toy, packed):
    """Pair a predicts 3 + 2 tokens and pair b 2 + 5, each from the sequence read so far, one by one."""
    model = adapted(toy)
    if not packed:
        model.get_base_model().set_attn_implementation("eager")
    distances = kl_to_base(model, collate(PAIRS, packed=packed))
    arm, expected = adapted(toy, fused=False), []
    arm.get_base_model().set_attn_implementation("eager")
    for pair in PAIRS:
        for response in (pair.chosen, pair.rejected):
            for i in range(len(response)):
                ids = torch.tensor([pair.prompt + response[:i]])
                p = arm(ids).logits[0, -1].log_softmax(-1)
                with arm.disable_adapter():
                    q = arm(ids).logits[0, -1].log_softmax(-1)
                expected.append(
                    sum(math.exp(a) * (a - b) for a, b in zip(p.tolist(), q.tolist(), strict=True))
                )
    assert len(expected) == 12 and min(expected) > 0.01
    assert_close(distances, torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_diagnostics_by_hand():
    """Chosen fell from -8 to -6 nats on 4 tokens each: perplexity e^(6/4); rejected from -8 to -11."""
    first = {"eval/logps/chosen": -8.0, "eval/logps/rejected": -8.0}
    now = {"logps/chosen": -6.0, "logps/rejected": -11.0, "rewards/accuracies": 0.75}
    diagnostics = evaluation_diagnostics(now, first, tokens=4, longer=0.6)
    assert diagnostics == pytest.approx(
        {
            "drift/chosen": 2.0,
            "drift/rejected": -3.0,
            "perplexity/chosen": math.exp(1.5),
            "longer_is_chosen": 0.6,
            "over_longer": 0.15,
        }
    )
    assert evaluation_diagnostics(now, None, tokens=4, longer=0.6)["drift/chosen"] == 0


def evaluations(margins, accuracies):
    rows = zip(margins, accuracies, strict=True)
    return [
        {"step": 100.0 * i, "eval/rewards/margins": m, "eval/rewards/accuracies": a}
        for i, (m, a) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("margins", "accuracies", "warns"),
    [
        ([1.0, 1.1, 1.15, 1.25], [0.6, 0.61, 0.6, 0.62], True),
        ([0.1, 1.0, 1.1, 1.15, 1.25], [0.5, 0.6, 0.61, 0.6, 0.62], True),  # the last four count
        ([1.0, 1.1, 1.2], [0.6, 0.6, 0.6], False),  # too few to say
        ([1.0, 1.1, 1.15, 1.19], [0.6, 0.6, 0.6, 0.6], False),  # less than a fifth more
        ([1.0, 1.3, 1.2, 1.4], [0.6, 0.6, 0.6, 0.6], False),  # it fell in between
        ([1.0, 1.1, 1.2, 1.3], [0.6, 0.62, 0.64, 0.65], False),  # a standard error more: it learns
        ([-1.0, -0.9, -0.85, -0.75], [0.6, 0.6, 0.6, 0.6], True),  # a fifth of its size, from below
    ],
)
def test_reward_hacking_is_named_when_the_margin_grows_alone(margins, accuracies, warns):
    """100 pairs, accuracy .6: one standard error is sqrt(.6 * .4 / 100) = .049."""
    warning = reward_hacking_warning(evaluations(margins, accuracies), 100)
    assert bool(warning) is warns
    if warning:
        assert "reward hacking" in warning and f"from {margins[-4]:.3g} to {margins[-1]:.3g}" in warning


def test_the_warning_of_a_loss_over_the_start_goes_by_what_was_learned():
    rows = evaluations([1.0, 1.1, 1.15, 1.25], [0.6] * 4)
    learned = [
        row | {"eval/implicit_margin": i / 10, "eval/implicit_accuracy": 0.5 + i / 10}
        for i, row in enumerate(rows)
    ]
    assert reward_hacking_warning(learned, 100) and not reward_hacking_warning(learned, 100, implicit=True)
    flat = [row | {"eval/implicit_accuracy": 0.5} for row in learned]
    told = reward_hacking_warning(flat, 100, implicit=True)
    assert "the implicit margin grew from 0 to 0.3, while implicit accuracy went from 0.500 to 0.500" in told


def test_the_sample_is_spread_over_all_pairs():
    assert kl_sample([10] * 10, 30) == [0, 3, 6]
    assert kl_sample([10] * 3, 1000) == [0, 1, 2]
    assert kl_sample([5000, 10], 100) == [0]


def gradients(model) -> dict[str, torch.Tensor]:
    model.zero_grad()
    torch.manual_seed(3)
    pair_logps(model, collate(PAIRS)).diff().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("layers", [2, 4])
def test_gradient_checkpointing_gives_the_same_gradients(toy, layers):
    model = adapted(toy, layers)
    plain = gradients(model)
    calls = []
    for layer in model.get_base_model().model.layers:
        layer.mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    assert enable_gradient_checkpointing(model.get_base_model()) == layers
    again = gradients(model)
    assert len(calls) == 4 + layers, "each trained layer twice, those below it once"
    assert plain.keys() == again.keys()
    for name in plain:
        assert_close(again[name], plain[name], rtol=0, atol=0)

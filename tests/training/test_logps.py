"""The fast way to log-probabilities gives the numbers and gradients of the definition, on every shape."""

import logging

import pytest
import torch
from torch.testing import assert_close
from toy_training import (
    NO_HEAD_DIM,
    SHAPES,
    TOLERANCE,
    initialise_lora_b,
    loss_and_gradient,
    slow_logps,
    token_pairs,
)
from toys import toy_model
from transformers import GraniteConfig, GraniteForCausalLM, LlamaForCausalLM, PreTrainedModel

from genarm.config import LoraConfig
from genarm.errors import ConfigError
from genarm.training.collate import collate
from genarm.training.head import head_fits
from genarm.training.logps import pair_logps, predicting_states, prepare
from genarm.training.lora import add_lora, fuse_lora
from genarm.training.packed_attention import BLOCKS, FLEX
from genarm.training.tokens import TokenPair
from genarm.training.transformers_hooks import attention_implementation

CASES = [
    (shape, layers, dtype)
    for shape in SHAPES
    for dtype, layers in TOLERANCE
    if dtype == torch.float32 or "cap" not in shape  # in float64 Gemma 2's own padded rows are NaN
]


@pytest.mark.parametrize(("shape", "layers", "dtype"), CASES)
def test_packed_and_padded_rows_equal_one_response_at_a_time(shape, layers, dtype, monkeypatch, caplog):
    """Log-probabilities, loss and gradient: prompts of one token, very unequal responses, small blocks."""
    monkeypatch.setattr("genarm.training.packed_attention.QUERIES", 4)
    torch.manual_seed(0)
    model, pairs = SHAPES[shape]().eval(), token_pairs()
    initial = attention_implementation(model)
    adapted = add_lora(model, LoraConfig(layers=layers, rank=2)).to(dtype)
    initialise_lora_b(adapted)
    slow = slow_logps(adapted, pairs)
    loss, gradient = loss_and_gradient(adapted, slow)
    assert gradient.norm() > 0.01
    with caplog.at_level(logging.WARNING):
        assert prepare(model, pairs)
    chosen = attention_implementation(model)
    assert (chosen == BLOCKS) == ("cap" not in shape)
    assert ("dense mask" in caplog.text) == ("cap" in shape)
    fuse_lora(adapted)
    for packed in (True, False):
        model.set_attn_implementation(chosen if packed else initial)
        fast = pair_logps(adapted, collate(pairs, packed=packed))
        assert_close(fast, slow, rtol=1e-5, atol=1e-4)
        fast_loss, fast_gradient = loss_and_gradient(adapted, fast)
        assert_close(fast_loss, loss, rtol=1e-5, atol=1e-5)
        assert (fast_gradient - gradient).norm() < TOLERANCE[dtype, layers] * gradient.norm()


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["llama", "gemma3, window 4"])
def test_flex_attention_gives_the_same_numbers(shape):
    """Forward only, since on a CPU it has no backward pass; it compiles for some ten seconds."""
    torch.manual_seed(0)
    model, pairs = SHAPES[shape]().eval(), token_pairs()
    with torch.no_grad():
        slow = slow_logps(model, pairs)
        model.set_attn_implementation(FLEX)
        assert_close(pair_logps(model, collate(pairs)), slow, rtol=1e-5, atol=1e-4)


def test_a_response_attends_neither_to_the_other_one_nor_to_another_pair():
    model, pairs = toy_model(), token_pairs()
    prepare(model, pairs)
    changed = [TokenPair(p.prompt_id, p.prompt, p.chosen[::-1], p.rejected) for p in pairs[:2]] + pairs[2:]
    first, second = (pair_logps(model, collate(p)) for p in (pairs, changed))
    assert_close(first[:, 1], second[:, 1])
    assert_close(first[2:], second[2:])
    assert (first[1, 0] - second[1, 0]).abs() > 1


def granite() -> PreTrainedModel:
    """Its logits are scaled after the head."""
    torch.manual_seed(0)
    return GraniteForCausalLM(GraniteConfig(**NO_HEAD_DIM, logits_scaling=3.0)).eval()


def test_a_scale_after_the_head_is_the_models_own():
    model, pairs = granite(), token_pairs()
    slow = slow_logps(model, pairs)
    assert prepare(model, pairs) and head_fits(model)
    assert_close(pair_logps(model, collate(pairs)), slow, rtol=1e-5, atol=1e-4)


class ByPosition(LlamaForCausalLM):
    """Its logits depend on where in the row a token is: they cannot be made of some hidden states alone."""

    def forward(self, *args, **kwargs):
        out = super().forward(*args, **kwargs)
        steps = torch.arange(out.logits.shape[1])[None, :, None] if out.logits.ndim == 3 else 0
        out.logits = out.logits / (1 + steps)
        return out


def test_a_model_whose_numbers_differ_gets_padded_rows(caplog):
    """Noticed before training; such a pass holds all its logits, which is said."""
    torch.manual_seed(0)
    model = ByPosition(toy_model().config).eval()
    pairs, initial = token_pairs(), attention_implementation(model)
    assert not head_fits(model) and not prepare(model, pairs)
    assert attention_implementation(model) == initial
    assert "padded row of its own, slower" in caplog.text
    assert caplog.text.count("a pass holds 4224 bytes a response token") == 1
    batch = collate(pairs, packed=False)
    assert predicting_states(model, batch).shape[-1] == model.config.vocab_size


def test_nothing_below_the_lowest_adapted_layer_keeps_a_graph():
    model, pairs = toy_model(), token_pairs()
    prepare(model, pairs)
    adapted = add_lora(model, LoraConfig(layers=1, rank=2))
    requires_grad = {}
    for i, layer in enumerate(model.model.layers):
        layer.register_forward_hook(lambda m, a, out, i=i: requires_grad.__setitem__(i, out.requires_grad))
    pair_logps(adapted, collate(pairs))
    assert requires_grad == {0: False, 1: False, 2: False, 3: True}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LoraConfig(targets=("q_proj", "out_proj")), "'out_proj' matches no linear.*down_proj, gate_proj"),
        (LoraConfig(layers=5), "layers = 5, but the model has 4"),
    ],
)
def test_adapters_that_do_not_fit_are_named(config, message):
    with pytest.raises(ConfigError, match=message):
        add_lora(toy_model(), config)


def test_targets_and_layers_lead_to_the_right_modules():
    adapted = add_lora(toy_model(), LoraConfig(layers=2, targets=("q_proj", "mlp.up_proj")))
    modules = {n.split("layers.")[1] for n, m in adapted.named_modules() if hasattr(m, "lora_A")}
    assert modules == {"2.self_attn.q_proj", "3.self_attn.q_proj", "2.mlp.up_proj", "3.mlp.up_proj"}

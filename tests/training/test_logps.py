"""The fast way to log-probabilities gives the numbers and gradients of the definition, on every shape."""

import logging
import random

import pytest
import torch
from torch.testing import assert_close
from toys import toy_model
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from genarm.config import LoraConfig
from genarm.errors import ConfigError
from genarm.training.collate import collate
from genarm.training.logps import pair_logps, prepare
from genarm.training.lora import adapt, fuse
from genarm.training.loss import preference_loss
from genarm.training.packed_attention import BLOCKS, FLEX
from genarm.training.tokens import TokenPair

SIZES = dict(
    vocab_size=264,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=512,
    initializer_range=0.5,
    pad_token_id=257,
    eos_token_id=256,
    bos_token_id=None,
)
NO_HEAD = {k: v for k, v in SIZES.items() if k != "head_dim"}
HALF = dict(layer_types=["sliding_attention", "full_attention"] * 2, sliding_window=4)
SHAPES = {
    "llama": lambda: toy_model(),
    "qwen2, window 4 on the upper half": lambda: Qwen2ForCausalLM(
        Qwen2Config(**NO_HEAD, use_sliding_window=True, sliding_window=4, max_window_layers=2)
    ),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES)),
    "mistral, window 4": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4)),
    "gemma2, window 4, both soft caps": lambda: Gemma2ForCausalLM(
        Gemma2Config(**SIZES, **HALF, final_logit_softcapping=5.0, attn_logit_softcapping=5.0)
    ),
    "gemma3, window 4": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, **HALF)),
}
LENGTHS = [(1, 1, 9), (7, 6, 2), (1, 30, 1), (5, 5, 5)]  # of prompt, chosen and rejected


def token_pairs(seed: int = 0) -> list[TokenPair]:
    rng = random.Random(seed)

    def ids(n: int) -> list[int]:
        return [rng.randrange(256) for _ in range(n)]

    return [TokenPair(f"p{i}", ids(p), ids(c), ids(r)) for i, (p, c, r) in enumerate(LENGTHS)]


def slow_logps(model, pairs):
    """One response at a time, no padding, no mask, all logits: the definition."""
    found = []
    for pair in pairs:
        for response in (pair.chosen, pair.rejected):
            ids = torch.tensor([pair.prompt + response])
            logps = model(input_ids=ids).logits[0].float().log_softmax(-1)
            found.append(sum(logps[len(pair.prompt) + t - 1, y] for t, y in enumerate(response)))
    return torch.stack(found).view(-1, 2)


def slope_of(model, logps) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of the pairs, and its gradient."""
    model.zero_grad()
    loss = preference_loss(logps[:, 0], logps[:, 1], beta=0.1).mean()
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def loud(model) -> None:
    """LoRA starts at zero and would hide a wrong adapter: give B some weight."""
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)


# Of the gradient's length. Through four layers so loud that attention scores reach hundreds, float32 loses
# more: the definition itself is then up to 2e-5 from its own value in float64.
TOLERANCE = {(torch.float32, 1): 1e-5, (torch.float32, "all"): 5e-5}
TOLERANCE |= {(torch.float64, layers): 1e-6 for layers in (1, "all")}


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
    own = model.config._attn_implementation
    adapted = adapt(model, LoraConfig(layers=layers, rank=2)).to(dtype)
    loud(adapted)
    slow = slow_logps(adapted, pairs)
    loss, slope = slope_of(adapted, slow)
    assert slope.norm() > 0.01
    with caplog.at_level(logging.WARNING):
        assert prepare(model, pairs)
    assert (model.config._attn_implementation == BLOCKS) == ("cap" not in shape)
    assert ("dense mask" in caplog.text) == ("cap" in shape)
    fuse(adapted)
    for packed in (True, False):
        model.set_attn_implementation(model.config._attn_implementation if packed else own)
        fast = pair_logps(adapted, collate(pairs, packed=packed))
        assert_close(fast, slow, rtol=1e-5, atol=1e-4)
        found, its_slope = slope_of(adapted, fast)
        assert_close(found, loss, rtol=1e-5, atol=1e-5)
        assert (its_slope - slope).norm() < TOLERANCE[dtype, layers] * slope.norm()


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


def test_a_response_sees_neither_its_rival_nor_another_pair():
    model, pairs = toy_model(), token_pairs()
    prepare(model, pairs)
    changed = [TokenPair(p.prompt_id, p.prompt, p.chosen[::-1], p.rejected) for p in pairs[:2]] + pairs[2:]
    first, second = (pair_logps(model, collate(p)) for p in (pairs, changed))
    assert_close(first[:, 1], second[:, 1])
    assert_close(first[2:], second[2:])
    assert (first[1, 0] - second[1, 0]).abs() > 1


def test_a_model_whose_numbers_differ_takes_the_plain_way(caplog):
    """A scale after the head, which the fast way does not know, is noticed before training."""
    from transformers import GraniteConfig, GraniteForCausalLM

    torch.manual_seed(0)
    model = GraniteForCausalLM(GraniteConfig(**NO_HEAD, logits_scaling=3.0)).eval()
    pairs, own = token_pairs(), model.config._attn_implementation
    assert not prepare(model, pairs)
    assert model.config._attn_implementation == own
    assert "padded row of its own, slower" in caplog.text
    assert_close(
        pair_logps(model, collate(pairs, packed=False)), slow_logps(model, pairs), rtol=1e-5, atol=1e-4
    )


def test_nothing_below_the_lowest_adapted_layer_keeps_a_graph():
    model, pairs = toy_model(), token_pairs()
    prepare(model, pairs)
    adapted = adapt(model, LoraConfig(layers=1, rank=2))
    seen = {}
    for i, layer in enumerate(model.model.layers):
        layer.register_forward_hook(lambda m, a, out, i=i: seen.__setitem__(i, out.requires_grad))
    pair_logps(adapted, collate(pairs))
    assert seen == {0: False, 1: False, 2: False, 3: True}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LoraConfig(targets=("q_proj", "out_proj")), "'out_proj' matches no linear.*down_proj, gate_proj"),
        (LoraConfig(layers=5), "layers = 5, but the model has 4"),
    ],
)
def test_adapters_that_do_not_fit_are_named(config, message):
    with pytest.raises(ConfigError, match=message):
        adapt(toy_model(), config)


def test_targets_and_layers_lead_to_the_right_modules():
    adapted = adapt(toy_model(), LoraConfig(layers=2, targets=("q_proj", "mlp.up_proj")))
    found = {n.split("layers.")[1] for n, m in adapted.named_modules() if hasattr(m, "lora_A")}
    assert found == {"2.self_attn.q_proj", "3.self_attn.q_proj", "2.mlp.up_proj", "3.mlp.up_proj"}

"""Pairs to tensors: the shared row gives what two separate rows give, and every pair is taken once."""

import random
from collections import Counter

import pytest
import torch
from conftest import byte_tokenizer, toy_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from genarm.collate import TokenPair, block_mask, collate, encode, plan
from genarm.config import LoraConfig
from genarm.errors import ConfigError, DataError
from genarm.logps import pair_logps, prepare
from genarm.lora import adapt, fuse
from genarm.loss import preference_loss
from genarm.types import Message, PreferencePair, Prompt

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
SHAPES = {
    "llama": lambda: toy_model(),
    "llama, fused kernel": lambda: toy_model(),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**{k: v for k, v in SIZES.items() if k != "head_dim"})),
    "mistral, window 4": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4)),
    "gemma2, window 4, both soft caps": lambda: Gemma2ForCausalLM(
        Gemma2Config(**SIZES, sliding_window=4, final_logit_softcapping=5.0, attn_logit_softcapping=5.0)
    ),
}
LENGTHS = [(1, 1, 9), (7, 6, 2), (3, 12, 1), (5, 5, 5)]  # of prompt, chosen and rejected


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


def gradients(model, logps) -> torch.Tensor:
    model.zero_grad()
    preference_loss(logps[:, 0], logps[:, 1], beta=0.1).mean().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def loud(model) -> None:
    """LoRA starts at zero and would hide a wrong adapter: give B some weight."""
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)


@pytest.mark.parametrize("layers", [1, "all"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_fast_ways_equal_one_response_at_a_time(shape, layers, monkeypatch):
    if "fused" in shape:
        monkeypatch.setattr("genarm.logps.EAGER_TOKENS", 0)
    torch.manual_seed(0)
    model, pairs = SHAPES[shape]().eval(), token_pairs()
    assert prepare(model, pairs)
    adapted = adapt(model, LoraConfig(layers=layers, rank=2))
    loud(adapted)
    slow = slow_logps(adapted, pairs)
    slope = gradients(adapted, slow)
    assert slope.norm() > 0.01
    fuse(adapted)
    for shared in (True, False):
        fast = pair_logps(adapted, collate(pairs, shared=shared))
        assert_close(fast, slow, rtol=1e-5, atol=1e-4)
        assert_close(gradients(adapted, fast), slope, rtol=1e-4, atol=1e-5 * slope.abs().max().item())


def test_a_response_does_not_see_its_rival():
    model, (pair, *_) = toy_model(), token_pairs()[1:]
    other = TokenPair("x", pair.prompt, pair.chosen[::-1], pair.rejected)
    first, second = (pair_logps(model, collate([p]))[0] for p in (pair, other))
    assert_close(first[1], second[1])
    assert (first[0] - second[0]).abs() > 1


def test_the_mask_by_hand():
    """Two prompt tokens, one chosen, one rejected, one padding; window 2 hides the first from positions 2."""
    part, positions = torch.tensor([[0, 0, 1, 2, 3]]), torch.tensor([[0, 1, 2, 2, 0]])
    seen = block_mask(part, positions, torch.float32)[0, 0] == 0
    assert seen.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    near = block_mask(part, positions, torch.float32, window=2)[0, 0] == 0
    assert near[2:4, 0].tolist() == [False, False]
    assert near[2:4, 1].tolist() == [True, True]


def test_a_model_whose_numbers_differ_takes_the_plain_way():
    """A scale after the head, which the fast way does not know, is noticed before training."""
    from transformers import GraniteConfig, GraniteForCausalLM

    sizes = {k: v for k, v in SIZES.items() if k != "head_dim"}
    torch.manual_seed(0)
    model = GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=3.0)).eval()
    pairs = token_pairs()
    assert not prepare(model, pairs)
    assert_close(
        pair_logps(model, collate(pairs, shared=False)), slow_logps(model, pairs), rtol=1e-5, atol=1e-4
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


def preference(prompt: str, chosen: str, rejected: str) -> PreferencePair:
    return PreferencePair(Prompt((Message("user", prompt),)), chosen, rejected)


def test_pairs_are_rendered_as_decoding_renders_them():
    (pair,) = encode([preference("hi", "yes", "no")], byte_tokenizer(), context=99)
    text = byte_tokenizer().decode
    assert text(pair.prompt) == "<|user|>hi<|end|><|assistant|>"
    assert (text(pair.chosen), text(pair.rejected)) == ("yes<|end|>", "no<|end|>")


def test_an_over_long_pair_is_named_with_its_lengths():
    with pytest.raises(DataError, match="5 tokens and a response of 4, the model reads at most 8"):
        encode([preference("hi", "yes", "no")], byte_tokenizer(), context=8)


@given(
    lengths=st.lists(st.integers(3, 99), min_size=1, max_size=60),
    epochs=st.sampled_from([0.5, 1.0, 2.3]),
    batch=st.integers(1, 9),
    micro=st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_the_plan_takes_each_pair_once_an_epoch_in_full_steps(lengths, epochs, batch, micro):
    batches = plan(lengths, epochs=epochs, batch_pairs=batch, micro_batch_pairs=micro, seed=1)
    total = max(1, round(epochs * len(lengths)))
    counts = Counter(i for micro_batch in batches for i in micro_batch)
    assert counts.total() == total
    assert max(counts.values()) - min(counts.get(i, 0) for i in range(len(lengths))) <= 1
    assert all(0 < len(b) <= micro for b in batches)
    per_step = -(-batch // micro)
    steps = [batches[i : i + per_step] for i in range(0, len(batches), per_step)]
    sizes = [sum(map(len, step)) for step in steps]
    assert sizes[:-1] == [batch] * (len(sizes) - 1)
    assert sizes[-1] == (total % batch or batch)


def test_the_plan_keeps_like_lengths_together_and_depends_on_the_seed():
    rng = random.Random(0)
    lengths = [rng.randint(20, 400) for _ in range(256)]
    first, again, other = (
        plan(lengths, epochs=1, batch_pairs=16, micro_batch_pairs=8, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
    padded = sum(len(b) * max(lengths[i] for i in b) for b in first)
    assert padded < 1.1 * sum(lengths)

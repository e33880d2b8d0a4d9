"""Chunks of the head: how large they are, that [t, v] is never held, and that they change no number."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from toy_training import SHAPES, initialise_lora_b, loss_and_gradient, token_pairs

from genarm.config import LoraConfig
from genarm.training import head
from genarm.training.collate import PADDING, collate
from genarm.training.head import CPU_BUDGET, chunk_rows, gpu_budget, head_of
from genarm.training.logps import pair_logps, predicting_states, prepare
from genarm.training.lora import add_lora
from genarm.training.loss import response_logps, token_logps
from genarm.training.transformers_hooks import attention_implementation

GIB = 2**30


@pytest.mark.parametrize(
    ("budget", "vocabulary", "rows"),
    [
        (CPU_BUDGET, 49_152, 128),  # SmolLM2
        (CPU_BUDGET, 128_256, 32),  # 48 would fit
        (CPU_BUDGET, 264, 8192),  # no more, however few there are
        (0, 49_152, 16),  # no fewer, however little there is
        (gpu_budget(80 * GIB, 70 * GIB), 128_256, 512),
        (gpu_budget(80 * GIB, 1 * GIB), 128_256, 128),
    ],
)
def test_a_chunk_is_as_large_as_its_budget(budget, vocabulary, rows):
    assert chunk_rows(budget, vocabulary) == rows
    if 16 < rows < 8192:
        assert rows * vocabulary * 16 <= budget < 2 * rows * vocabulary * 16


def test_a_gpus_budget_is_by_its_size_while_enough_is_free():
    """So that two runs on it round alike, whatever else has been in its memory."""
    assert gpu_budget(64 * GIB, 60 * GIB) == gpu_budget(64 * GIB, 4 * GIB) == GIB
    assert gpu_budget(64 * GIB, GIB) == GIB // 4


class Widest(TorchDispatchMode):
    """The most rows that any tensor as wide as the vocabulary has had, but for the head's own weight."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.vocabulary, self.rows = weight.data_ptr(), len(weight), 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        wide = isinstance(out, torch.Tensor) and out.ndim > 1 and out.shape[-1] == self.vocabulary
        if wide and out.data_ptr() != self.weight:
            self.rows = max(self.rows, out.numel() // self.vocabulary)
        return out


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("shape", ["llama", "gemma2, window 4, both soft caps"])
def test_chunks_give_loss_and_gradient_of_all_logits_at_once(shape, packed, monkeypatch):
    """Within float32: the loss to 1e-5, the gradient to 5e-5 of its length; 16 tokens of 66 at a time."""
    torch.manual_seed(0)
    model, pairs = SHAPES[shape]().eval(), token_pairs()
    adapted = add_lora(model, LoraConfig(layers=1, rank=2))
    initialise_lora_b(adapted)
    initial, batch = attention_implementation(model), collate(pairs, packed=packed)
    assert prepare(model, pairs)
    if packed:
        logits = head_of(model)(predicting_states(adapted, batch))
    else:
        model.set_attn_implementation(initial)
        own = adapted(
            input_ids=batch.input_ids,
            attention_mask=(batch.part != PADDING).long(),
            logits_to_keep=batch.predicts,
        )
        logits = own.logits[batch.source]
    whole = response_logps(token_logps(logits, batch.target), batch.owner, 2 * len(batch)).view(-1, 2)
    loss, gradient = loss_and_gradient(adapted, whole)
    monkeypatch.setattr(head, "CPU_BUDGET", 0)
    with Widest(model.get_output_embeddings().weight) as widest:
        chunked = pair_logps(adapted, batch)
        chunked_loss, chunked_gradient = loss_and_gradient(adapted, chunked)
    assert widest.rows == 16 < len(batch.target)
    assert_close(chunked, whole, rtol=1e-5, atol=1e-4)
    assert_close(chunked_loss, loss, rtol=1e-5, atol=1e-5)
    assert (chunked_gradient - gradient).norm() < 5e-5 * gradient.norm()

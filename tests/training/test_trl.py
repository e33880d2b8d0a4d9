"""The same loss and gradient as TRL's CPO trainer without its SFT term, on the same tensors."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.testing import assert_close
from toy_training import TOLERANCE, initialise_lora_b, token_pairs
from toys import byte_tokenizer, toy_model

from genarm.config import LoraConfig
from genarm.training.collate import collate
from genarm.training.logps import pair_logps, prepare
from genarm.training.lora import add_lora, fuse_lora
from genarm.training.loss import Objective
from genarm.training.tokens import TokenPair

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of its own
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
PAD, BETA = 257, 0.1


def padded(pairs: list[TokenPair], side: str) -> dict[str, torch.Tensor]:
    """One side of the pairs as TRL collates it: labels are -100 but on the response."""
    rows = [(p.prompt, getattr(p, side)) for p in pairs]
    ids = [torch.tensor(prompt + response) for prompt, response in rows]
    labels = [torch.tensor([-100] * len(prompt) + response) for prompt, response in rows]
    return {
        f"{side}_input_ids": pad_sequence(ids, batch_first=True, padding_value=PAD),
        f"{side}_attention_mask": pad_sequence([torch.ones_like(i) for i in ids], batch_first=True),
        f"{side}_labels": pad_sequence(labels, batch_first=True, padding_value=-100),
    }


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_gradient_are_those_of_cpo_without_its_sft_term(tmp_path, smoothing):
    pytest.importorskip("trl")
    from datasets import Dataset
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    model, pairs = toy_model(), token_pairs()
    adapted = add_lora(model, LoraConfig(rank=2))
    initialise_lora_b(adapted)
    trainer = CPOTrainer(
        model=adapted,
        args=CPOConfig(
            output_dir=str(tmp_path),
            loss_type="sigmoid",
            cpo_alpha=0.0,
            beta=BETA,
            label_smoothing=smoothing,
            max_length=99,
            use_cpu=True,
            bf16=False,
            report_to="none",
        ),
        processing_class=byte_tokenizer(),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
    )
    adapted.eval()
    adapted.zero_grad()
    theirs, metrics = trainer.get_batch_loss_metrics(
        adapted, {**padded(pairs, "chosen"), **padded(pairs, "rejected")}
    )
    theirs.backward()
    gradient = torch.cat([p.grad.flatten() for p in adapted.parameters() if p.requires_grad])
    assert gradient.norm() > 0.01

    assert prepare(model, pairs)
    fuse_lora(adapted)
    batch = collate(pairs)
    logps = pair_logps(adapted, batch)
    adapted.zero_grad()
    loss = Objective(BETA, label_smoothing=smoothing).losses(logps, batch.owner).mean()
    loss.backward()
    our_gradient = torch.cat([p.grad.flatten() for p in adapted.parameters() if p.requires_grad])
    assert_close(loss.detach(), theirs.detach(), rtol=1e-5, atol=1e-5)
    assert (our_gradient - gradient).norm() < TOLERANCE[torch.float32, "all"] * gradient.norm()
    assert_close(logps[:, 0].mean().item(), metrics["logps/chosen"], rtol=1e-5, atol=1e-4)
    assert_close(BETA * logps[:, 1].mean().item(), metrics["rewards/rejected"], rtol=1e-5, atol=1e-4)

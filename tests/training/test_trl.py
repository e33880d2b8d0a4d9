"""The same loss and gradient as TRL's trainers on the same tensors: CPO without its SFT term, and DPO."""

import math

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.testing import assert_close
from toy_training import TOLERANCE, in_memory, initialise_lora_b, token_pairs
from toys import byte_tokenizer, toy_model

from genarm.config import LoraConfig
from genarm.training.collate import collate
from genarm.training.logps import pair_logps, prepare
from genarm.training.logps_at_start import logps_at_start
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


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("warm", [False, True])
def test_loss_and_gradient_over_the_start_are_those_of_dpo(tmp_path, warm, packed):
    """TRL's reference is the model with its adapter off or, where that has learned already, a copy of it.

    The arithmetic is the same with both; a warm start of ours takes the first one (`test_dpo.py`).
    """
    pytest.importorskip("trl")
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    model, pairs = toy_model(), token_pairs()
    adapted = add_lora(model, LoraConfig(rank=2))
    if warm:
        initialise_lora_b(adapted)
    before = adapted.state_dict()
    trainer = DPOTrainer(
        adapted,
        args=DPOConfig(
            output_dir=str(tmp_path),
            beta=BETA,
            max_length=99,
            gradient_checkpointing=False,
            use_cpu=True,
            bf16=False,
            report_to="none",
        ),
        processing_class=byte_tokenizer(),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
    )
    adapted = trainer.model.eval()
    assert all(torch.equal(adapted.state_dict()[name], value) for name, value in before.items())
    data = in_memory(pairs)
    start = logps_at_start(adapted, data, packed=False, title="test")
    move_adapter(adapted)
    examples = [{"prompt_ids": p.prompt, "chosen_ids": p.chosen, "rejected_ids": p.rejected} for p in pairs]
    adapted.zero_grad()
    theirs = trainer._compute_loss(adapted, DataCollatorForPreference(PAD)(examples), return_outputs=False)
    theirs.backward()
    gradient = gradient_of(adapted)
    assert gradient.norm() > 0.01 and abs(theirs.item() - math.log(2)) > 0.01

    if packed:
        assert prepare(model, pairs)
        fuse_lora(adapted)
    batch = collate(pairs, packed=packed, start=start)
    adapted.zero_grad()
    loss = Objective(BETA).losses(pair_logps(adapted, batch), batch.owner, batch.start).mean()
    loss.backward()
    assert_close(loss.detach(), theirs.detach(), rtol=1e-5, atol=1e-5)
    assert (gradient_of(adapted) - gradient).norm() < TOLERANCE[torch.float32, "all"] * gradient.norm()


def gradient_of(model) -> torch.Tensor:
    trained = (p for name, p in model.named_parameters() if ".default." in name)
    return torch.cat([p.grad.flatten() for p in trained])


def move_adapter(model) -> None:
    """As training would: away from where it started."""
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_B.default" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)

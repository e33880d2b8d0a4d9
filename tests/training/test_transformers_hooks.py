"""Each hook into transformers, accelerate and peft, by its name, against the installed version."""

import copy
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import peft
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset
from toys import toy_model
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging

from genarm.training import transformers_hooks as hooks
from genarm.training.checkpoints import PREFIX, checkpoint_at


class Zeros(Dataset):
    """Two rows that any causal language model trains on."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.zeros(3, dtype=torch.long), "labels": torch.zeros(3, dtype=torch.long)}


class RecordingTrainer(hooks.HookedTrainer):
    """Notes when each hook runs."""

    def model_prepared(self, model: nn.Module) -> None:
        self.events = [("prepared", model, self.state.global_step)]

    @contextmanager
    def writing_checkpoint(self):
        checkpoint = checkpoint_at(Path(self.args.output_dir), self.state.global_step)
        self.events.append(("before", checkpoint.exists()))
        yield
        self.events.append(("after", checkpoint.exists()))


def arguments(folder: Path, **more) -> TrainingArguments:
    return TrainingArguments(
        str(folder),
        per_device_train_batch_size=1,
        num_train_epochs=1,
        save_strategy="steps",
        save_steps=1,
        learning_rate=0.1,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        **more,
    )


@pytest.fixture
def trainer(tmp_path) -> RecordingTrainer:
    return RecordingTrainer(toy_model(layers=1), arguments(tmp_path), train_dataset=Zeros())


def test_model_prepared_is_called_once_with_the_model_before_the_first_step(trainer):
    trainer.train()
    prepared = [event for event in trainer.events if event[0] == "prepared"]
    assert prepared == [("prepared", trainer.model, 0)]


def test_writing_checkpoint_is_entered_around_each_checkpoint(trainer):
    trainer.train()
    assert [event for event in trainer.events if event[0] != "prepared"] == [
        ("before", False),
        ("after", True),
    ] * 2


def test_checkpoints_have_the_prefix_that_transformers_gives_them(trainer, tmp_path):
    assert f"{PREFIX_CHECKPOINT_DIR}-" == PREFIX
    trainer.train()
    assert checkpoint_at(tmp_path, 1).is_dir() and checkpoint_at(tmp_path, 2).is_dir()


def test_floating_point_ops_are_asked_of_the_trainer_and_not_counted(trainer, monkeypatch):
    asked = []
    monkeypatch.setattr(RecordingTrainer, "floating_point_ops", lambda self, inputs: asked.append(1) or 0)
    trainer.train()
    assert len(asked) == 2 and hooks.HookedTrainer.floating_point_ops(trainer, {}) == 0


def test_disable_data_parallel_leaves_one_gpu_of_several(tmp_path):
    several = arguments(tmp_path)
    several._n_gpu = 4
    assert several.n_gpu == 4 and several.train_batch_size == 4
    hooks.disable_data_parallel(several)
    assert several.n_gpu == 1 and several.train_batch_size == 1


def test_disable_ddp_prepares_a_model_as_for_evaluation(trainer, monkeypatch):
    prepared = []
    monkeypatch.setattr(
        trainer.accelerator, "prepare_model", lambda model, **more: prepared.append(more) or model
    )
    hooks.disable_ddp(trainer)
    trainer.train()
    assert prepared and all(more["evaluation_mode"] for more in prepared)


def test_load_checkpoint_weights_brings_back_full_weights_and_adapters(tmp_path):
    with hooks.peft_warnings_ignored():
        adapted = peft.get_peft_model(
            toy_model(layers=1), peft.LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")
        )
    for name, model in (("full", toy_model(layers=1)), ("lora", adapted)):
        trainer = Trainer(model, arguments(tmp_path / name, max_steps=1), train_dataset=Zeros())
        trainer.train()
        saved = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        for weight in model.parameters():
            weight.data.add_(1.0)
        with hooks.peft_warnings_ignored():
            hooks.load_checkpoint_weights(trainer, str(checkpoint_at(tmp_path / name, 1)))
        for n, p in model.named_parameters():
            assert n not in saved or torch.equal(p, saved[n]), (name, n)


def test_attention_implementation_is_the_one_that_was_set():
    model = toy_model(layers=1)
    for implementation in ("eager", "sdpa", "flex_attention"):
        model.set_attn_implementation(implementation)
        assert hooks.attention_implementation(model) == implementation


def test_supports_custom_attention_tells_models_whose_layers_look_attention_up_by_name():
    class OldModel(GPT2LMHeadModel):
        _supports_attention_backend = False

    sizes = dict(n_embd=8, n_head=1, n_layer=1, vocab_size=9)
    assert hooks.supports_custom_attention(toy_model(layers=1))
    assert not hooks.supports_custom_attention(OldModel(GPT2Config(**sizes)))
    assert not hooks.supports_custom_attention(nn.Module())


def test_replace_forward_is_what_models_of_transformers_and_layers_of_peft_call():
    model = toy_model(layers=1)
    ids = torch.tensor([[1, 2, 3]])
    expected = model(ids).logits
    with hooks.peft_warnings_ignored():
        adapted = peft.get_peft_model(
            copy.deepcopy(model), peft.LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")
        )
    base = adapted.get_base_model()
    calls = []

    def counted(name, forward):
        def call(*args, **kwargs):
            calls.append(name)
            return forward(*args, **kwargs)

        return call

    layer = base.model.layers[0]
    modules = {
        "decoder": base.get_decoder(),
        "layer": layer,
        "lora": layer.self_attn.q_proj,
        "head": base.get_output_embeddings(),
    }
    for name, module in modules.items():
        hooks.replace_forward(module, lambda forward, name=name: counted(name, forward))
    torch.testing.assert_close(adapted(ids).logits, expected)
    assert calls == [*modules]


def test_errors_only_silences_what_transformers_warns_of_and_restores_it(caplog):
    logger, before = logging.get_logger("transformers.trainer"), logging.get_verbosity()
    with hooks.errors_only():
        assert not logger.isEnabledFor(logging.WARNING) and logger.isEnabledFor(logging.ERROR)
    assert logging.get_verbosity() == before


def test_peft_warnings_ignored_ends_the_future_warnings_of_adding_an_adapter():
    """Where peft no longer causes one, the hook is no longer needed."""
    config = peft.LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")
    with pytest.warns(FutureWarning):
        peft.get_peft_model(toy_model(layers=1), config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with hooks.peft_warnings_ignored():
            peft.get_peft_model(toy_model(layers=1), config)


REGISTERS = """
from transformers import AttentionInterface

from genarm.training import logps
from genarm.training.packed_attention import BLOCKS, register

assert BLOCKS not in AttentionInterface()
register()
attend = AttentionInterface()[BLOCKS]
register()
assert AttentionInterface()[BLOCKS] is attend
"""


def test_attention_is_registered_when_asked_and_not_on_import():
    subprocess.run([sys.executable, "-c", REGISTERS], check=True, cwd=Path(__file__).parents[2])

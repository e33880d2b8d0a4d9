"""Every hook of training into transformers and peft that their documentation does not promise.

One function or class for each hook, with the reason for it. `tests/training/test_transformers_hooks.py` runs
each against the installed version, so that an upgrade that breaks one fails under its name.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from transformers import Trainer, TrainingArguments
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import logging

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Forward = Callable[..., Any]


class HookedTrainer(Trainer):
    """transformers.Trainer with two of its private steps opened to subclasses, and no count of operations."""

    def model_prepared(self, model: nn.Module) -> None:
        """Called before the first step with the model as accelerate has prepared it."""

    @contextmanager
    def writing_checkpoint(self) -> Iterator[None]:
        """Entered around the writing of each checkpoint."""
        yield

    # Sharded weights exist only after accelerate has prepared the model; no callback runs that early.
    def _prepare_for_training(self, *arguments: Any) -> Any:
        model, loader = super()._prepare_for_training(*arguments)
        self.model_prepared(model)
        return model, loader

    # The callback `on_save` comes after old checkpoints are removed, and not at all when writing fails.
    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with self.writing_checkpoint():
            super()._save_checkpoint(model, trial)

    # Estimated from the number of input tokens, which a batch of ours does not have by that name.
    def floating_point_ops(self, inputs: Any) -> int:
        """No estimate: the log has none."""
        return 0


def disable_data_parallel(arguments: TrainingArguments) -> None:
    """Use one GPU in this process: torch's DataParallel, the default for several, would split our batches."""
    arguments._n_gpu = min(arguments.n_gpu, 1)


def disable_ddp(trainer: Trainer) -> None:
    """Keep accelerate from wrapping the model in DistributedDataParallel.

    We sum gradients once a step ourselves. DDP supports only passes through its own module, as many on each
    process; a model prepared for evaluation is not wrapped.
    """
    trainer.accelerator.prepare_model = partial(trainer.accelerator.prepare_model, evaluation_mode=True)


def load_checkpoint_weights(trainer: Trainer, checkpoint: str) -> None:
    """Replace the trained weights by those of a checkpoint, in a plain, an adapted or a sharded model.

    transformers does this only at the end of `train` and only for its own choice of the best checkpoint.
    """
    trainer.state.best_model_checkpoint = checkpoint
    with errors_only():  # tied weights are stored once, which it reports as a missing key
        trainer._load_best_model()


def attention_implementation(model: "PreTrainedModel") -> str:
    """The attention that a model is set to; transformers has a setter for it, and no getter."""
    implementation: str = model.config.get_text_config()._attn_implementation
    return implementation


def supports_custom_attention(model: "PreTrainedModel") -> bool:
    """Whether a model's layers look up their attention function by name, so that ours can be set."""
    return bool(getattr(model, "_supports_attention_backend", False))


def replace_forward(module: nn.Module, wrap: Callable[[Forward], Forward]) -> None:
    """Let `module(...)` call `wrap(module.forward)`.

    The module keeps its class, parameters and hooks, so that transformers, peft and FSDP2 recognise it still.
    """
    module.forward = wrap(module.forward)


@contextmanager
def decoder_returning(model: "PreTrainedModel", hidden: Tensor) -> Iterator[None]:
    """Inside the block the model's forward pass makes its logits of these hidden states [1, n, d].

    A transformers model has no method of its own from hidden states to logits, and what lies between (a head,
    scales, a soft cap) differs from one to the next.
    """
    decoder: nn.Module = model.get_decoder()
    before = vars(decoder).get("forward")  # another hook's, such as accelerate's
    decoder.forward = lambda *_, **__: BaseModelOutputWithPast(last_hidden_state=hidden)
    try:
        yield
    finally:
        if before is None:
            del decoder.forward
        else:
            decoder.forward = before


@contextmanager
def errors_only() -> Iterator[None]:
    """Silence the warnings that transformers logs about what is intended here."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def peft_warnings_ignored() -> Iterator[None]:
    """Ignore the FutureWarnings of transformers about how peft calls it, which a user cannot act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield

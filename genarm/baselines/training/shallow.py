"""A weak model with the base's tokenizer: the base with fewer layers, healed by distillation.

    loss = mean over tokens of KL(p_base || p_shallow)

The layers that go are consecutive, those that turn the hidden states least (arXiv 2403.17887). Of the layers
l to l + n - 1, the angle is

    d(l, n) = mean over tokens of arccos(cos(x_l, x_(l + n))) / pi

with x_l what layer l reads, on the first texts to be trained on. Cut so, SmolLM2-135M with 25 of 30 layers
has perplexity 11 on text of which the base has 4.1 (17 with the layers that go taken evenly), so what is left
trains to give the base's distribution again. Embeddings stay frozen: they are the base's, and half the cost.
"""

import hashlib
import json
import logging
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.baselines.training.policy import curves_of, replacing
from genarm.baselines.training.settings import ENDS, ShallowTraining
from genarm.errors import ConfigError, DataError
from genarm.models import ModelSource, context_of, load_model, load_tokenizer
from genarm.models.layers import decoder_layers
from genarm.system import metric_names as names
from genarm.system.files import write_json
from genarm.system.progress import ProgressDisplay
from genarm.system.verbosity import Verbosity, verbosity
from genarm.training.callbacks import Journal, quiet
from genarm.training.checkpoints import clear, open_folder, training_key
from genarm.training.full import make_all_trainable, save_full_model
from genarm.training.stock_trainer import libraries_quiet, run_stock, stock_arguments
from genarm.training.token_cache import tokenise
from genarm.training.trained import Trained

if TYPE_CHECKING:
    from torch import Tensor

CARD = "shallow.json"
CALIBRATION = 16  # texts on which angles are measured

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Text:
    """Token ids of a prompt with a response, which begins at `start`."""

    ids: list[int]
    start: int


def kept_layers(model: Any, layers: int, texts: Sequence[Text]) -> list[int]:
    """Which layers of a model stay, in order: two at either end, and all but those that do least between.

    Raises ConfigError for too few layers, or for as many as the model has.
    """
    depth = len(decoder_layers(model)[1])
    if not 2 * ENDS <= layers < depth:
        raise ConfigError(
            f"layers is {layers}, and the base has {depth}", hint=f"choose {2 * ENDS} to {depth - 1}"
        )
    gone = depth - layers
    angles = _angles(model, gone, texts[:CALIBRATION])
    first = min(range(ENDS, layers - ENDS + 1), key=angles.__getitem__)
    return [*range(first), *range(first + gone, depth)]


def _angles(model: Any, layers: int, texts: Sequence[Text]) -> list[float]:
    """d(l, layers) for every l after which another layer follows."""
    import torch

    angles = torch.zeros(0)
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([text.ids], device=model.device)
            # Of what follows the last layer only the norm is told, so that layer is none of them.
            *states, _ = model.get_decoder()(
                input_ids=ids, use_cache=False, output_hidden_states=True
            ).hidden_states
            read = torch.stack([state[0].float() for state in states])
            cosines = torch.cosine_similarity(read[:-layers], read[layers:], dim=-1)
            turned = cosines.clamp(-1, 1).arccos().sum(-1).cpu() / math.pi
            angles = turned if not len(angles) else angles + turned
    return [angle / sum(len(text.ids) for text in texts) for angle in angles.tolist()]


def prune(model: Any, keep: Sequence[int]) -> None:
    """Leave only these layers in a model, in place."""
    from torch import nn

    stack, layers = decoder_layers(model)
    config, depth = model.config.get_text_config(), len(layers)
    setattr(model.get_decoder(), stack, nn.ModuleList([layers[i] for i in keep]))
    for number, i in enumerate(keep):
        for module in layers[i].modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = number  # type: ignore[assignment]  # its place in the cache
    for key, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == depth:  # such as layer_types
            setattr(config, key, [value[i] for i in keep])
    config.num_hidden_layers = len(keep)


@libraries_quiet()
def train(
    base: ModelSource,
    pairs: Path,
    validation: Path,
    *,
    name: str,
    dtype: str,
    config: ShallowTraining,
    out: Path,
    work: Path,
    journal: Journal = quiet,
) -> Trained:
    """Write the base with fewer layers as a model folder to `out`, healed on the text of a file of pairs.

    Both responses are read, and none twice. The perplexities of base, pruned and healed model are of the
    responses in `validation`. `work` holds the checkpoints to go on from. Raises ConfigError for a number of
    layers that the base cannot keep, DataError for a file without text, TrainingError for a loss that is no
    number.
    """
    from transformers import TrainingArguments, set_seed

    began = time.monotonic()
    set_seed(config.seed)
    teacher, tokenizer = load_model(base, dtype), load_tokenizer(base)
    texts, held_out = (_texts(file, tokenizer, context_of(teacher)) for file in (pairs, validation))
    keep = kept_layers(teacher, config.layers, texts)
    settings = {"method": "shallow", "dtype": dtype, **config.model_dump(mode="json")}
    read = hashlib.sha256(
        json.dumps([[t.ids for t in part] for part in (texts, held_out)]).encode()
    ).hexdigest()
    folder = open_folder(
        work, training_key(base.weights_sha256, settings, read), {"settings": settings, "text": read}
    )
    student: Any = load_model(base, "float32")
    prune(student, keep)
    student = make_all_trainable(student, dtype)
    for part in (student.get_input_embeddings(), student.get_output_embeddings()):
        part.requires_grad_(False)
    before = {"base": perplexity(teacher, held_out), "pruned": perplexity(student, held_out)}
    log.info("%s: perplexity of the base %.3g, without layers %.3g", name, *before.values())
    arguments = TrainingArguments(
        **stock_arguments(folder, config.steps, seed=config.seed),
        max_steps=config.steps,
        per_device_train_batch_size=1,  # an item is a batch
        train_sampling_strategy="sequential",
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        lr_scheduler_type="cosine",
        max_grad_norm=config.max_grad_norm,
        remove_unused_columns=False,
    )
    batches = _batches(texts, config)
    done = run_stock(
        _trainer(student, teacher, arguments, batches),
        ProgressDisplay(f"heal {name}", quiet=verbosity() is Verbosity.QUIET),
        what=name,
        hint="lower learning_rate",
        noted={names.LOSS: "KL"},
        journal=journal,
    )
    curves = curves_of(done.log, {names.LOSS: names.LOSS, names.GRADIENT_NORM: names.GRADIENT_NORM})
    metrics = {
        "train/texts": float(len(texts)),
        "train/tokens": float(sum(len(text.ids) for batch in batches for text in batch)),
        "train/steps": float(done.steps),
        "train/loss": curves[-1][names.LOSS],
        "shallow/layers": float(len(keep)),
        "shallow/parameters": float(student.num_parameters()),
        **{f"perplexity/{which}": value for which, value in before.items()},
        "perplexity/healed": perplexity(student, held_out),
        "train/seconds": max(done.seconds, time.monotonic() - began),
    }
    with replacing(out) as written:
        save_full_model(student, tokenizer, written, dtype)
        kept = {key: value for key, value in metrics.items() if "second" not in key}
        of_base = {"id": base.id, "revision": base.revision, "weights_sha256": base.weights_sha256}
        write_json(written / CARD, {"base": of_base, "layers": keep, "params": settings, "metrics": kept})
    clear(work)
    return Trained(metrics, curves)


def perplexity(model: Any, texts: Sequence[Text]) -> float:
    """exp of the mean negative log-probability of the tokens of responses."""
    import torch

    total, count = 0.0, 0
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([text.ids], device=model.device)
            states = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[0]
            logits = model.get_output_embeddings()(states[text.start - 1 : -1]).float()
            picked = logits.log_softmax(-1).gather(-1, ids[0, text.start :, None])
            total, count = total - picked.sum().item(), count + len(picked)
    return math.exp(total / count)


def divergence(student: "Tensor", teacher: "Tensor") -> "Tensor":
    """KL(teacher || student) of logits [s, v], the mean over s, in float32."""
    import torch

    wanted = teacher.float().log_softmax(-1)
    return torch.nn.functional.kl_div(
        student.float().log_softmax(-1), wanted, log_target=True, reduction="batchmean"
    )


def _texts(file: Path, tokenizer: Any, context: int) -> list[Text]:
    """The responses of a file of pairs with their prompts, each once, that a model of this context reads."""
    pairs, refused = tokenise(file, tokenizer).within(context, None)
    if refused:
        log.warning("%s: %d pairs are left out, %s", file, len(refused), refused[0].reason)
    found: dict[tuple[int, ...], Text] = {}
    for pair in pairs:
        for response in (pair.chosen, pair.rejected):
            ids = [*pair.prompt, *response]
            found.setdefault(tuple(ids), Text(ids, len(pair.prompt)))
    if not found:
        raise DataError(f"{file} has no text of at most {context} tokens", hint="give it shorter pairs")
    return list(found.values())


def _batches(texts: Sequence[Text], config: ShallowTraining) -> list[list[Text]]:
    """A batch for each step, of texts of about one length: each pass over the text in an order of its own."""
    rng, batches = random.Random(config.seed), list[list[Text]]()
    while len(batches) < config.steps:
        shuffled = rng.sample(texts, len(texts))
        # Sorted by thirds of a power of two, so that a batch wastes little, and the order stays random.
        once = list(_filled(sorted(shuffled, key=lambda text: round(3 * math.log2(len(text.ids)))), config))
        batches += rng.sample(once, len(once))
    return batches[: config.steps]


def _filled(texts: Sequence[Text], config: ShallowTraining) -> Iterator[list[Text]]:
    batch: list[Text] = []
    for text in texts:
        longest = max(len(t.ids) for t in [*batch, text])
        if batch and longest * (len(batch) + 1) > config.batch_tokens:
            yield batch
            batch = []
        batch.append(text)
    yield batch


def _trainer(student: Any, teacher: Any, arguments: Any, batches: Sequence[Sequence[Text]]) -> Any:
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers import Trainer

    class Distillation(Trainer):
        """Trains a model to give the teacher's distribution of every next token."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            real = inputs["attention_mask"].bool()
            with torch.no_grad():
                wanted = teacher.get_output_embeddings()(_states(teacher, inputs)[real])
            return divergence(model.get_output_embeddings()(_states(model, inputs)[real]), wanted)

    def collate(items: Sequence[Sequence[Text]]) -> dict[str, Any]:
        (batch,) = items
        ids = [torch.tensor(text.ids) for text in batch]
        mask = [torch.ones_like(row) for row in ids]
        return {
            "input_ids": pad_sequence(ids, batch_first=True),
            "attention_mask": pad_sequence(mask, batch_first=True),
        }

    return Distillation(
        model=student,
        args=arguments,
        train_dataset=batches,
        data_collator=collate,
    )


def _states(model: Any, inputs: Any) -> Any:
    return model.get_decoder()(**inputs, use_cache=False).last_hidden_state

"""What the decoding benchmark decodes with: a base model, ARMs as random LoRAs on it, and prompts.

How fast a model runs does not depend on what its weights are, so adapters may be random, and with `--shape`
the model too. No figure of quality is made here.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from shapes import SHAPES
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from genarm.decoding.runner.adapter_files import Adapter
from genarm.decoding.runner.trunk import vocabulary
from genarm.models import load_model, load_tokenizer, resolve

RANK = 8
SPREAD = 0.02  # of the adapters' random factors
TOP = 8  # layers that a usual ARM adapts, of SmolLM2's 30; a third where there are fewer than 24


@dataclass(frozen=True, slots=True)
class Job:
    """Prompts of one length, and how many tokens each is to be answered with."""

    prompts: Sequence[Sequence[int]]
    lengths: Sequence[int]


class Models:
    """Copies of one base model; each row that changes its model's modules has one of its own."""

    def __init__(
        self,
        name: str,
        shape: str | None,
        device: str,
        dtype: str,
        *,
        alone: bool = False,
        spread: float = SPREAD,
    ) -> None:
        self.spread = spread
        self.device, self.alone = torch.device(device), alone
        self.tokenizer: PreTrainedTokenizerBase
        if shape is None:
            source = resolve(name)
            self.tokenizer = load_tokenizer(source)
            self._original = nn.Module.to(load_model(source, dtype), self.device)
            self.vocab = vocabulary(self._original, self.tokenizer)
        else:
            self.tokenizer = _byte_tokenizer()
            self._original = _random_model(SHAPES[shape], self.device, getattr(torch, dtype))
            self.vocab = int(self._original.config.vocab_size)
        self._original.generation_config.eos_token_id = None  # responses of equal length
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.added_tokens_decoder}
        self.ordinary = torch.tensor([i for i in range(self.vocab) if i not in special])

    @property
    def original(self) -> PreTrainedModel:
        """Not to be changed."""
        return self._original

    @property
    def depth(self) -> int:
        """Layers of the base."""
        return int(self._original.config.num_hidden_layers)

    @property
    def top(self) -> int:
        """How many of the uppermost layers a usual ARM adapts."""
        return min(TOP, max(1, self.depth // 3))

    def fresh(self) -> PreTrainedModel:
        """A copy to change; where memory is measured there is one row `alone`, and it has the original."""
        return self._original if self.alone else copy.deepcopy(self._original)

    def adapters(self, count: int, layers: int) -> list[Adapter]:
        """Random LoRAs on all linear modules of the uppermost layers, the same each time, on the CPU."""
        return [self._adapter(number, layers) for number in range(count)]

    def _adapter(self, number: int, layers: int) -> Adapter:
        generator = torch.Generator().manual_seed(number)
        lowest, factors = self.depth - layers, {}
        for path, module in self._original.named_modules():
            parts = path.split(".")
            if isinstance(module, nn.Linear) and "layers" in parts:
                down = torch.randn(RANK, module.in_features, generator=generator) * self.spread
                up = torch.randn(module.out_features, RANK, generator=generator) * self.spread
                if int(parts[parts.index("layers") + 1]) >= lowest:
                    factors[path] = down, up
        return Adapter(f"arm{number}", factors)

    def merged(self, adapter: Adapter) -> PreTrainedModel:
        """An ARM as a model of its own, its LoRA merged."""
        model = self.fresh()
        for path, (down, up) in adapter.factors.items():
            weight = model.get_submodule(path).weight
            assert isinstance(weight, nn.Parameter)
            weight.data += (up.to(self.device) @ down.to(self.device)).to(weight.dtype)
        return model

    def job(self, count: int, prompt: int, lengths: Sequence[int], seed: int) -> Job:
        """Prompts of ordinary tokens drawn by seed."""
        generator = torch.Generator().manual_seed(seed)
        places = torch.randint(len(self.ordinary), (count, prompt), generator=generator)
        return Job(self.ordinary[places].tolist(), list(lengths))


def varied_lengths(count: int, new: int) -> list[int]:
    """Response lengths drawn evenly from an eighth to twice the usual: 8 to 128 for 64."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(max(new // 8, 1), 2 * new + 1, (count,), generator=generator).tolist()


def _random_model(
    shape: Mapping[str, int | bool], device: torch.device, dtype: torch.dtype
) -> PreTrainedModel:
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with device:
            return LlamaForCausalLM(
                LlamaConfig(**shape, max_position_embeddings=4096, bos_token_id=None, eos_token_id=None)
            ).eval()
    finally:
        torch.set_default_dtype(before)


def _byte_tokenizer() -> PreTrainedTokenizerBase:
    """One token a byte, for models whose weights mean nothing."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return fast

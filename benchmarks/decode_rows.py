"""The rows of the decoding benchmark: what answers a job, and how many tokens of it were asked for.

Each row samples at temperature 1 without end tokens. The rivals are Hugging Face `generate`, alone and with
each ARM in a LogitsProcessor, written as one would today: batched, with a cache, only the newest tokens read.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from decode_limits import Counted
from decode_models import Job, Models
from strong_base import StrongBase
from torch import Tensor
from transformers import DynamicCache, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from genarm.decoding import GuidedRequest
from genarm.decoding.engine.engine import Engine
from genarm.decoding.engine.speculative import SpeculativePolicy
from genarm.decoding.runner.build_trunk import build_trunk
from genarm.decoding.runner.ensemble import Part
from genarm.decoding.runner.trunk import Trunk
from genarm.types import Guidance

Row = Callable[[Job], int]
ACCEPTANCE = 0.8  # wanted of the guided draft
STRONG = ("strong_base", "guided_strong", "spec_guided")
SHARED = {
    "shared1": (1, False),
    "shared2": (2, False),
    "shared4": (4, False),
    "shared1_all": (1, True),
    "shared4_all": (4, True),
}  # fmt: skip  ARMs, and whether they adapt all layers

EAGER = {"eager": "base", "eager_shared1": "shared1"}  # the same, each step launched anew
CONTRAST = {"contrast1": "shared1"}  # the same engine, by the other guidance


class ArmProcessor(LogitsProcessor):
    """Adds weight * log p_arm to the scores, the ARM being a model with a cache of its own."""

    def __init__(self, arm: PreTrainedModel, weight: float = 1.0) -> None:
        self.arm, self.weight = arm, weight
        self.cache = DynamicCache(config=arm.config)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        newest = input_ids[:, self.cache.get_seq_length() :]
        out = self.arm(input_ids=newest, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        return scores + self.weight * out.logits[:, -1].float().log_softmax(-1)


def hugging_face(
    model: PreTrainedModel,
    arms: Sequence[PreTrainedModel],
    size: int,
    *,
    sample: bool = True,
    static: bool = False,
) -> Callable[[Job], list[list[int]]]:
    """`generate` over static batches of `size` in the order given, each run to its longest response."""
    sampling: dict[str, object] = dict(top_k=0, top_p=1.0, temperature=1.0) if sample else {}
    if static:  # which transformers compiles on a GPU
        sampling["cache_implementation"] = "static"

    def answer(job: Job) -> list[list[int]]:
        responses: list[list[int]] = []
        for start in range(0, len(job.prompts), size):
            ids = torch.tensor(job.prompts[start : start + size], device=model.device)
            lengths = job.lengths[start : start + size]
            out = model.generate(  # type: ignore[operator]
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=sample,
                max_new_tokens=max(lengths),
                pad_token_id=0,
                logits_processor=LogitsProcessorList([ArmProcessor(arm) for arm in arms]),
                **sampling,
            )
            new = out[:, ids.shape[1] :].tolist()
            responses += [tokens[:length] for tokens, length in zip(new, lengths, strict=True)]
        return responses

    return answer


def ours(
    engine: Engine, *, temperature: float = 1.0, guidance: Guidance = "sum"
) -> Callable[[Job], list[list[int]]]:
    """All requests at once, every ARM of the engine at weight 1."""
    weights = dict.fromkeys(engine.arms, 1.0)

    def answer(job: Job) -> list[list[int]]:
        responses = engine.generate(
            [
                GuidedRequest(
                    tuple(prompt),
                    weights,
                    temperature=temperature,
                    seed=seed,
                    max_new_tokens=length,
                    ignore_eos=True,
                    guidance=guidance,
                )
                for seed, (prompt, length) in enumerate(zip(job.prompts, job.lengths, strict=True))
            ]
        )
        return [list(response.tokens) for response in responses]

    return answer


def counted(answer: Callable[[Job], list[list[int]]]) -> Row:
    """A row that checks that every response is as long as asked."""

    def row(job: Job) -> int:
        lengths = [len(tokens) for tokens in answer(job)]
        if lengths != list(job.lengths):
            raise AssertionError(f"responses of {lengths} tokens, asked for {list(job.lengths)}")
        return sum(lengths)

    return row


class Rows:
    """Rows by name, made when first asked for; `slots` requests are decoded at a time."""

    def __init__(
        self, models: Models, slots: int, prompt: int = 40, new: int = 64, noise: float | None = None
    ) -> None:
        self.models, self.slots, self.prompt, self.new, self.noise = models, slots, prompt, new, noise
        self.counted = Counted.of(models.original)
        self._policy: SpeculativePolicy | None = None
        self.note = ""  # how the strong base was made
        self._made: dict[str, Row] = {}

    def __getitem__(self, name: str) -> Row:
        if name not in self._made:
            self._made[name] = counted(self.answers(name))
        return self._made[name]

    def answers(self, name: str, *, greedy: bool = False) -> Callable[[Job], list[list[int]]]:
        """What a row answers with; responses and not only how many tokens they have."""
        if name.startswith("hf_"):
            arms = {"hf_base": 0, "hf_static": 0, "hf_processor": 1, "hf_processor4": 4}[name]
            return hugging_face(
                self.models.original,
                self._merged[:arms],
                self.slots,
                sample=not greedy,
                static=name == "hf_static",
            )
        guidance: Guidance = "contrast" if name in CONTRAST else "sum"
        engine = self.engine(CONTRAST.get(name, name))
        return ours(engine, temperature=0.0 if greedy else 1.0, guidance=guidance)

    def engine(self, name: str) -> Engine:
        """The engine that answers for a row of ours."""
        models = self.models
        if name in STRONG:
            return self._strong_engine(name)
        if name == "base":
            return self._engine([self._base(0, 1)])
        if name in EAGER:
            engine = self.engine(EAGER[name])
            for part in engine.parts:
                part.trunk.recorder.enabled = False
            return engine
        if name == "compiled":
            return self._engine([self._base(0, 1, compiled=True)])
        if name == "separate1":
            other = build_trunk(models.merged(models.adapters(1, models.top)[0]), [], models.vocab)
            return self._engine([self._base(0, 1), Part(other, {"arm0": None})])
        count, everywhere = SHARED[name]
        return self._engine([self._base(count, models.depth if everywhere else models.top)])

    @property
    def acceptance(self) -> float:
        """Of the drafted tokens that were tested since it was last forgotten."""
        assert self._policy is not None
        return self._policy.acceptance

    def forget_acceptance(self) -> None:
        """Count accepted drafts from here on."""
        if self._policy is not None:
            self._policy.tested = self._policy.accepted = 0

    def limits(self, prompt: int, new: int) -> Mapping[str, float]:
        """The share of the base's speed that arithmetic leaves, by row."""
        models = self.models
        layers = {
            name: models.depth if everywhere else models.top for name, (_, everywhere) in SHARED.items()
        }
        shared = {
            name: self.counted.limit(prompt, new, models.adapters(count, layers[name]), layers[name])
            for name, (count, _) in SHARED.items()
        }
        return {**shared, "separate1": self.counted.separate_limit()}

    def _engine(self, parts: Sequence[Part], *, speculate: bool = False) -> Engine:
        return Engine(parts, self.models.tokenizer, slots=self.slots, speculate=speculate)

    def _base(self, count: int, layers: int, *, compiled: bool = False) -> Part:
        adapters = self.models.adapters(count, layers)
        trunk = build_trunk(self.models.fresh(), adapters, self.models.vocab, compiled=compiled)
        return Part(trunk, {adapter.name: adapter.name for adapter in adapters}, base=True)

    @cached_property
    def _merged(self) -> list[PreTrainedModel]:
        return [self.models.merged(adapter) for adapter in self.models.adapters(4, self.models.top)]

    @cached_property
    def _strong(self) -> tuple[Trunk, Trunk]:
        """A base four times deeper, tuned to the acceptance wanted, and the small model with an ARM on it."""
        models = self.models
        arm = models.adapters(1, models.top)
        merged = models.merged(arm[0])
        strong = StrongBase(models.original)
        if self.noise is None:
            expected = self._tune(strong, merged)
            expectation = f", for which {expected:.2f} of the drafts should be accepted"
        else:
            strong.set_noise(self.noise)
            expectation = ""
        self.note = (
            f"strong base: 4 times as deep, noise {strong.scale:.4f} of its matrices' spread{expectation}"
        )
        return build_trunk(strong.model, [], models.vocab), build_trunk(models.fresh(), arm, models.vocab)

    def _tune(self, strong: StrongBase, arm: PreTrainedModel) -> float:
        """Set the noise by the prompts that the row answers in its first repeats."""
        models = self.models
        prompts = [models.job(1, self.prompt, [self.new], seed).prompts[0] for seed in range(4)]
        job, expected = Job(prompts, [self.new] * len(prompts)), 1.0
        # Acceptance is counted over text that the guided strong base writes, which it does once it is near.
        for writer in (models.original, strong.model):
            torch.manual_seed(0)
            texts = hugging_face(writer, [arm], len(prompts))(job)
            ids = torch.tensor([[*p, *t] for p, t in zip(prompts, texts, strict=True)], device=models.device)
            expected = strong.tune(models.original, arm, ids, ACCEPTANCE, self.prompt)
        return expected

    def _strong_engine(self, name: str) -> Engine:
        strong, small = self._strong
        base = Part(strong, base=True)
        if name == "strong_base":
            return self._engine([base])
        speculate = name == "spec_guided"
        engine = self._engine([base, Part(small, {"arm0": "arm0"}, draft=speculate)], speculate=speculate)
        if isinstance(engine.policy, SpeculativePolicy):
            self._policy = engine.policy
        return engine

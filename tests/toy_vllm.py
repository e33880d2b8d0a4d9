"""Toys in vLLM on the CPU: a guided engine in the test's process, and requests that come while others run."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # the test looks into the scheduler
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRITON_F32_DEFAULT", "ieee")  # on a GPU its attention rounds float32 to TF32
os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")  # the sampler compiles a comparison, for a minute

import torch
from toy_arms import ARMS, family_model, make_arm
from vllm import LLM, SamplingParams

from genarm.decoding import GuidedRequest
from genarm.models import load_tokenizer, resolve

FAMILIES = {  # heads of 32, the narrowest that vLLM has on a CPU
    "llama": {},
    "mistral": {"sliding_window": 24},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
}
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}


@dataclass(frozen=True)
class GuidedToy:
    """A base of one family, and its ARMs."""

    folder: Path
    arms: Mapping[str, Path]


def guided_toy(family: str, root: Path, tokenizer: Any, **config: object) -> GuidedToy:
    """A toy of this family with the ARMs of `toy_arms`, whose ranks, layers and modules all differ."""
    model = family_model(family, root / "base", tokenizer, **SHAPE | FAMILIES[family] | config)
    source = resolve(str(root / "base"))
    arms = {
        name: make_arm(root / name, source, model, seed=seed, **settings)
        for seed, (name, settings) in enumerate(ARMS.items())
    }
    return GuidedToy(root / "base", arms)


def tokens(toy: GuidedToy) -> int:
    """How many ids are tokens: transformers adds one to a tokenizer of Qwen2's."""
    return 1 + max(load_tokenizer(resolve(str(toy.folder))).get_vocab().values())


def engine(toy: GuidedToy, architecture: str, **settings: Any) -> LLM:
    """A guided engine: chunks of 48 tokens, a prefix cache, and few threads."""
    genarm = {"arms": {n: str(f) for n, f in toy.arms.items()}, "tokens": tokens(toy)}
    genarm |= settings.pop("genarm", {})
    torch.set_num_threads(1)
    options: dict[str, Any] = {
        "dtype": "float32",
        "enforce_eager": True,
        "max_model_len": 192,
        "max_num_seqs": 12,
        "block_size": 32,
        "max_num_batched_tokens": 48,
        "enable_prefix_caching": True,
        "logprobs_mode": "processed_logprobs",
        "hf_overrides": {"architectures": [architecture]},
        "additional_config": {"genarm": genarm},
    }
    return LLM(str(toy.folder), **options | settings)


def sampling(request: GuidedRequest, **more: Any) -> SamplingParams:
    """The same request as vLLM takes it, with settings that are vLLM's alone."""
    guidance = {
        f"guidance.{'contrast' if name in request.contrasted else 'sum'}.{name}": weight
        for name, weight in request.weights.items()
    }
    return SamplingParams(
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        max_tokens=request.max_new_tokens,
        stop=list(request.stop),
        logprobs=0,
        extra_args=guidance,
        **more,
    )


def run(llm: LLM, requests: Sequence[GuidedRequest], *, every: int = 1, name: str = "r") -> list[Any]:
    """The outputs of requests of which one comes every so many steps."""
    inner, outputs, step = llm.llm_engine, {}, 0
    waiting = list(enumerate(requests))
    while waiting or inner.has_unfinished_requests():
        while waiting and waiting[0][0] * every <= step:
            index, request = waiting.pop(0)
            inner.add_request(f"{name}{index}", {"prompt_token_ids": list(request.prompt)}, sampling(request))
        for output in inner.step():
            if output.finished:
                outputs[output.request_id] = output
        step += 1
    return [outputs[f"{name}{index}"] for index in range(len(requests))]


def scheduler(llm: LLM) -> Any:
    """The scheduler of an engine in this process."""
    return llm.llm_engine.engine_core.engine_core.scheduler


@contextmanager
def counted(owner: Any, method: str):
    """A list that grows by one with every call of a method."""
    calls: list[None] = []
    original: Callable[..., Any] = getattr(owner, method)

    def call(*args: Any, **options: Any) -> Any:
        calls.append(None)
        return original(*args, **options)

    setattr(owner, method, call)
    try:
        yield calls
    finally:
        setattr(owner, method, original)

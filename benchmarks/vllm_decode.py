"""Guided decoding in vLLM against vLLM's base alone, in one process: seconds a decode step, and their ratio.

    python benchmarks/vllm_decode.py --json vllm.json                     SmolLM2 on a CPU
    python benchmarks/vllm_decode.py --shape 8b --batches 1,8,64,256      on a GPU, with graphs

in vLLM's environment, .venv-vllm. On a CPU the seconds are CPU seconds of the process, which other work on
the machine disturbs less, and the engines run eagerly; on a GPU they are wall seconds. A step is the time
of n new tokens less that of 1, over n - 1, so that prefill has no part in it; `whole` has it. Engines take
turns. ARMs are random LoRAs of rank 8 on all linear modules of the top quarter of the layers (`top`) or of
all; what they say does not change what they cost.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # CPU seconds are those of this process
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait spin, and CPU seconds count that
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

import torch
from safetensors.torch import save_file
from shapes import SHAPES
from transformers import AutoConfig, LlamaConfig
from vllm import LLM, SamplingParams

from genarm.models import resolve

RANK = 8


def base_folder(name: str, shape: str | None, root: Path) -> Path:
    """The base's folder: a model's own, or one with a shape alone, whose weights vLLM draws."""
    if shape is None:
        return resolve(name).path
    LlamaConfig(
        **SHAPES[shape], max_position_embeddings=4096, architectures=["LlamaForCausalLM"]
    ).save_pretrained(root / "base")
    return root / "base"


def random_arm(folder: Path, config: Any, layers: int) -> Path:
    """A LoRA with random factors on all linear modules of the uppermost layers."""
    width, inner = config.hidden_size, config.intermediate_size
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    queries, keys = head * config.num_attention_heads, head * config.num_key_value_heads
    sizes = {
        "self_attn.q_proj": (width, queries),
        "self_attn.k_proj": (width, keys),
        "self_attn.v_proj": (width, keys),
        "self_attn.o_proj": (queries, width),
        "mlp.gate_proj": (width, inner),
        "mlp.up_proj": (width, inner),
        "mlp.down_proj": (inner, width),
    }
    torch.manual_seed(0)
    tensors = {}
    for layer in range(config.num_hidden_layers - layers, config.num_hidden_layers):
        for module, (size_in, size_out) in sizes.items():
            key = f"base_model.model.model.layers.{layer}.{module}.lora_"
            tensors[f"{key}A.weight"] = torch.randn(RANK, size_in) * 0.02
            tensors[f"{key}B.weight"] = torch.randn(size_out, RANK) * 0.02
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    told = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": sorted(sizes)}
    (folder / "adapter_config.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def engines(options: argparse.Namespace, root: Path) -> Mapping[str, tuple[LLM, dict[str, float]]]:
    """By row: an engine, and the arguments that its requests have."""
    base = base_folder(options.base, options.shape, root)
    config = AutoConfig.from_pretrained(base)
    depth, most = config.num_hidden_layers, max(options.batches)
    common: dict[str, Any] = {
        "dtype": options.dtype,
        "max_model_len": options.prompt + options.new,
        "max_num_seqs": most,
        "skip_tokenizer_init": True,
        "enable_prefix_caching": False,
        "enforce_eager": options.eager,
        "compilation_config": {"cudagraph_capture_sizes": sorted(options.batches)} | options.compilation,
    }
    if options.shape:
        common["load_format"] = "dummy"
    if torch.cuda.is_available():
        common["gpu_memory_utilization"] = 0.9 / len(options.rows)
    made = {}
    for row in options.rows:
        if row == "base":
            made[row] = LLM(str(base), **common), {}
            continue
        arm = random_arm(root / row, config, {"top": max(1, depth // 4), "all": depth}[row])
        guided = f"Guided{config.architectures[0]}"
        told = {
            "hf_overrides": {"architectures": [guided]},
            "additional_config": {"genarm": {"arms": {"arm": str(arm)}}},
        }
        made[row] = LLM(str(base), **common, **told), {"guidance.sum.arm": 0.3}
    return made


def seconds(
    llm: LLM, extra: Mapping[str, float], batch: int, prompt: int, new: int, clock: Callable[[], float]
):
    """Seconds of a batch of prompts that share nothing."""
    prompts = [{"prompt_token_ids": [(7 * i + j) % 200 + 20 for j in range(prompt)]} for i in range(batch)]
    params = SamplingParams(
        temperature=1, max_tokens=new, ignore_eos=True, detokenize=False, extra_args=dict(extra)
    )
    began = clock()
    llm.generate(prompts, params, use_tqdm=False)
    return clock() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--shape", choices=SHAPES, help="random weights of this shape instead of a base")
    parser.add_argument("--rows", type=lambda t: t.split(","), default=["base", "top", "all"])
    parser.add_argument("--batches", type=lambda t: [int(n) for n in t.split(",")], default=[8])
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--new", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--eager", action="store_true", default=not torch.cuda.is_available())
    parser.add_argument("--compilation", type=json.loads, default={}, help="of vLLM, in JSON")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as root:
        made = engines(options, Path(root))
        for batch in options.batches:
            measured: dict[str, list[tuple[float, float]]] = {row: [] for row in made}
            for turn in range(1 + options.repeats):
                for row, (llm, extra) in made.items():
                    first, whole = (
                        seconds(llm, extra, batch, options.prompt, n, clock) for n in (1, options.new)
                    )
                    if turn:  # the first warms up
                        measured[row].append(((whole - first) / (options.new - 1), whole))
            for row, pairs in measured.items():
                step, whole = (statistics.median(values) for values in zip(*pairs, strict=True))
                figures |= {f"{row}_b{batch}_step_ms": 1000 * step, f"{row}_b{batch}_whole_s": whole}
                if row != "base" and "base" in measured:
                    of_base = figures[f"base_b{batch}_step_ms"] / (1000 * step)
                    of_whole = figures[f"base_b{batch}_whole_s"] / whole
                    figures |= {f"{row}_b{batch}_ratio": of_base, f"{row}_b{batch}_whole_ratio": of_whole}
                print(
                    *(f"{k} {v:.4g}" for k, v in figures.items() if k.startswith(f"{row}_b{batch}_")),
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

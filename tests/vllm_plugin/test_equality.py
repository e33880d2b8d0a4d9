"""In vLLM, guidance gives what the built-in engine gives: greedy tokens, log-probabilities within 5e-4.

float32 toys of every family; 48 requests of sum, contrast, both and none, that come one a step, under chunked
prefill, with a prefix cache and so few blocks that requests are preempted.
"""

import pytest

pytest.importorskip("vllm.sampling_params", reason="vLLM is not installed here: make serve-vllm")

from toy_vllm import FAMILIES, counted, engine, guided_toy, run, scheduler
from toys import byte_tokenizer

from genarm.decoding import GuidedRequest, load_decoder

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.filterwarnings("default")]  # vLLM warns a lot

SHARED = tuple(range(60, 110))  # longer than a block, so that it is cached
PROMPTS = [
    *(SHARED + tuple(range(5 * i, 5 * i + 3 + 4 * i)) for i in range(6)),
    *((7 * i + 3,) * (1 + 9 * i) for i in range(6)),
]
GUIDANCE = [
    ({}, "sum"),
    ({"all": 0.4}, "sum"),
    ({"all": 0.8}, "contrast"),
    ({"top": 1.5, "middle": 0.3}, "sum"),
    ({"top": 2.0, "attention": 1.0}, "contrast"),
    ({"all": 0.5, "middle": 0.7, "top": 0.2}, {"middle": "contrast"}),
    ({"attention": 1.0, "all": 0.0}, "sum"),
    ({"all": 0.3, "middle": 0.3, "top": 0.3, "attention": 0.3}, {"top": "contrast", "all": "contrast"}),
]


def requests() -> list[GuidedRequest]:
    """Every kind of guidance, and every prompt four times."""
    return [
        GuidedRequest(
            PROMPTS[(i + i // 12) % 12],
            weights,
            temperature=0.0,
            max_new_tokens=8 + 5 * (i % 7),
            guidance=guidance,
            return_rewards=True,
        )
        for i, (weights, guidance) in enumerate(GUIDANCE * 6)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_and_logprobs_are_those_of_the_built_in_engine(family, tmp_path):
    toy = guided_toy(family, tmp_path, byte_tokenizer())
    asked = requests()
    wanted = load_decoder(str(toy.folder), toy.arms, dtype="float32", batch_size=16).generate(asked)
    assert len({answer.tokens for answer in wanted}) > 30  # loud enough to tell guidance apart

    llm = engine(toy, f"Guided{family.capitalize()}ForCausalLM", num_gpu_blocks_override=14)
    with counted(scheduler(llm), "_preempt_request") as preemptions:
        outputs = run(llm, asked)
    apart: list[float] = []
    for output, answer, request in zip(outputs, wanted, asked, strict=True):
        (drawn,) = output.outputs
        assert tuple(drawn.token_ids) == answer.tokens, (request.weights, request.guidance)
        told = [read[token].logprob for read, token in zip(drawn.logprobs, drawn.token_ids, strict=True)]
        apart += [abs(a - b.guided) for a, b in zip(told, answer.rewards, strict=True)]
    assert max(apart) < 5e-4  # where logits are ten times as loud as a language model's
    print(f"{family}: {len(apart)} tokens, worst {max(apart):.1e}, {len(preemptions)} preemptions")
    assert preemptions
    assert sum(output.num_cached_tokens for output in outputs) > 0
    pool = scheduler(llm).kv_cache_manager.block_pool
    assert pool.get_num_free_blocks() == pool.num_gpu_blocks - 1  # one is vLLM's own

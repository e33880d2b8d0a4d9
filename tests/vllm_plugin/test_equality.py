"""In vLLM, guidance gives what the built-in engine gives: greedy tokens, log-probabilities within 5e-4.

float32 toys of every family; 48 requests of sum, contrast, both and none, that come one a step, under chunked
prefill, with a prefix cache and so few blocks that requests are preempted.
"""

from dataclasses import replace

import pytest

pytest.importorskip("vllm.sampling_params", reason="vLLM is not installed here: make serve-vllm")

from toy_arms import END, family_model, save_arms
from toy_vllm import FAMILIES, SHAPE, GuidedToy, counted, engine, guided_toy, run, sampling, scheduler
from toys import byte_tokenizer

from genarm.decoding import GuidedRequest, load_decoder
from genarm.models import resolve

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


def legible_toy(root) -> GuidedToy:
    """One whose text is printable ASCII: of the bytes beyond, most sequences are no characters."""
    model = family_model("llama", root / "base", byte_tokenizer(), **SHAPE)
    model.lm_head.weight.data[94:END] = 0  # the likeliest score is far above 0
    model.lm_head.weight.data[END] *= 1.5  # and now and then it is the end's
    model.save_pretrained(root / "base")
    return GuidedToy(root / "base", save_arms(root, resolve(str(root / "base")), model))


def with_stops(request: GuidedRequest, text: str, i: int) -> GuidedRequest:
    """Stop strings, some of which its text holds: one or two, inside it, across each other, at its end."""
    half = len(text) // 2
    stops = [
        (text[half : half + 2],),
        ("never there", text[half : half + 3], text[half + 1 : half + 3]),
        (text[-2:],),
        (text[half:] + "?", text[:1]),
    ]
    return replace(request, stop=tuple(filter(None, stops[i % 4])))


def at_least(decoder, request: GuidedRequest, least: int) -> tuple[int, ...]:
    """The tokens of the built-in engine, which has no `min_tokens`, with the end barred before that many."""
    tokens: tuple[int, ...] = ()
    while True:
        rest = replace(
            request,
            prompt=request.prompt + tokens,
            max_new_tokens=request.max_new_tokens - len(tokens),
            return_top=2,
        )
        (answer,) = decoder.generate([rest])
        tokens += answer.tokens
        if tokens[-1] != END or len(tokens) > least:
            return tokens
        second = next(token for token, _ in answer.rewards[-1].top if token != END)
        tokens = (*tokens[:-1], second)


def test_text_ends_where_the_built_in_engine_ends_it(tmp_path):
    """At stop strings, end tokens and limits, and not before `min_tokens`, which is vLLM's alone."""
    toy = legible_toy(tmp_path)
    decoder = load_decoder(str(toy.folder), toy.arms, dtype="float32", batch_size=16)
    whole = decoder.generate(asked := requests())
    asked += [with_stops(r, a.text, i) for i, (r, a) in enumerate(zip(asked, whole, strict=True))]
    wanted = [*whole, *decoder.generate(asked[len(whole) :])]
    llm = engine(toy, "GuidedLlamaForCausalLM")
    for output, answer, request in zip(run(llm, asked), wanted, asked, strict=True):
        (drawn,) = output.outputs
        told = (tuple(drawn.token_ids), drawn.text, drawn.finish_reason)
        assert told == (answer.tokens, answer.text, answer.finish_reason), (request.weights, request.stop)
    ends = [(answer.tokens[-1] == END, answer.finish_reason) for answer in wanted]
    assert all(ends.count(end) > 3 for end in ((True, "stop"), (False, "stop"), (False, "length")))

    early = [
        (replace(request, max_new_tokens=60), len(answer.tokens) + 2)
        for request, answer in zip(asked, whole, strict=False)
        if answer.tokens[-1] == END
    ]
    inputs = [{"prompt_token_ids": list(request.prompt)} for request, _ in early]
    params = [sampling(request, min_tokens=least) for request, least in early]
    outputs = llm.generate(inputs, params, use_tqdm=False)
    for output, (request, least) in zip(outputs, early, strict=True):
        tokens = at_least(decoder, request, least)
        assert len(tokens) > least
        assert tuple(output.outputs[0].token_ids) == tokens

"""Guidance with the weights spread over two processes: the built-in engine's tokens, and a swap in both."""

import pytest

pytest.importorskip("vllm.sampling_params", reason="vLLM is not installed here: make serve-vllm")

from toy_arms import make_arm
from toy_vllm import engine, guided_toy, run
from toys import byte_tokenizer

from genarm.decoding import GuidedRequest, load_decoder
from genarm.models import load_model, resolve

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.filterwarnings("default")]

WEIGHTS = [{}, {"all": 0.4}, {"top": 1.5, "middle": 0.3}, {"attention": 1.0, "all": 0.6}]


def asked(weights):
    prompts = [(7, 8, 9), tuple(range(60, 110)), (200,) * 5]
    return [
        GuidedRequest(prompt, w, temperature=0.0, max_new_tokens=16, guidance=guidance, return_rewards=True)
        for prompt in prompts
        for w in weights
        for guidance in ("sum", "contrast")
    ]


@pytest.mark.parametrize("heads", [1, 2], ids=["k and v in both processes", "k and v spread"])
def test_two_processes_have_the_tokens_of_one(heads, tmp_path):
    """float32, and sums in another order: log-probabilities within 5e-4."""
    toy = guided_toy("llama", tmp_path, byte_tokenizer(), num_key_value_heads=heads)
    source = resolve(str(toy.folder))
    other = {"all": make_arm(tmp_path / "other", source, load_model(source, "float32"), seed=9, r=2)}
    requests = asked(WEIGHTS)
    wanted = load_decoder(str(toy.folder), toy.arms, dtype="float32").generate(requests)
    llm = engine(toy, "GuidedLlamaForCausalLM", tensor_parallel_size=2, distributed_executor_backend="mp")
    try:
        apart = []
        for output, answer in zip(run(llm, requests), wanted, strict=True):
            (drawn,) = output.outputs
            assert tuple(drawn.token_ids) == answer.tokens
            told = [read[token].logprob for read, token in zip(drawn.logprobs, drawn.token_ids, strict=True)]
            apart += [abs(a - b.guided) for a, b in zip(told, answer.rewards, strict=True)]
        print(f"{len(apart)} tokens, worst {max(apart):.1e}")
        assert max(apart) < 5e-4
        told = llm.collective_rpc("swap_arm", args=("rude", str(other["all"])))
        assert [outcome for outcome, _ in told] == ["refused"] * 2
        assert all("there is no ARM 'rude' to replace" in why for _, why in told)
        assert llm.collective_rpc("swap_arm", args=("all", str(other["all"]))) == [("done", "")] * 2
        llm.reset_prefix_cache()
        swapped = load_decoder(str(toy.folder), toy.arms | {"all": other["all"]}, dtype="float32")
        for output, answer in zip(run(llm, requests), swapped.generate(requests), strict=True):
            assert tuple(output.outputs[0].token_ids) == answer.tokens
    finally:
        llm.llm_engine.engine_core.shutdown()

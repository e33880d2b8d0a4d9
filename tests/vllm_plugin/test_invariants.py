"""What must hold of guidance in vLLM whatever the traffic, and what is refused."""

import re

import pytest

pytest.importorskip("vllm.sampling_params", reason="vLLM is not installed here: make serve-vllm")

import torch
from safetensors.torch import load_file, save_file
from toy_arms import LINEAR, TOKENS, card, make_arm
from toy_vllm import engine, guided_toy, run, sampling, scheduler
from toys import byte_tokenizer
from vllm import LLM, SamplingParams
from vllm.exceptions import VLLMValidationError

from genarm.decoding import GuidedRequest, load_decoder
from genarm.models import load_model, resolve
from genarm.models.arm import write_card
from genarm.vllm.readings import Readings

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.filterwarnings("default")]  # vLLM warns a lot
PROMPTS = [(1, 2, 3), tuple(range(40, 110)), (9,), (7, 7, 200, 3), tuple(range(100, 111))]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return guided_toy("llama", folder, byte_tokenizer(), vocab_size=TOKENS)  # no padding: vLLM would draw it


@pytest.fixture(scope="module")
def llm(toy) -> LLM:
    return engine(toy, "GuidedLlamaForCausalLM", genarm={"max_rank": 8, "first_layer": {"middle": 1}})


@pytest.fixture(scope="module")
def plain(toy) -> LLM:
    """vLLM's own model; it lives as long as the other engine, since its end closes what both share."""
    return engine(toy, "LlamaForCausalLM", additional_config={})


def asked(weights, **changes):
    return [
        GuidedRequest(prompt, weights, temperature=0.0, max_new_tokens=20, **changes) for prompt in PROMPTS
    ]


def tokens(llm, requests, name):
    return [tuple(output.outputs[0].token_ids) for output in run(llm, requests, name=name)]


def rows_guided(llm) -> int:
    return llm.collective_rpc("guided_rows")[0]


def test_without_weights_the_tokens_are_those_of_vllms_own_model(plain, llm):
    own = tokens(plain, asked({}), "own")
    before = rows_guided(llm)
    assert tokens(llm, asked({}), "base") == own
    assert tokens(llm, asked({"all": 0.0, "top": 0.0}), "zero") == own
    assert rows_guided(llm) == before


def test_rows_are_counted_as_guided_where_weights_were_sent(llm):
    before = rows_guided(llm)
    guided = tokens(llm, asked({"all": 0.8}), "count")
    assert rows_guided(llm) - before >= sum(map(len, guided))


def test_all_blocks_are_free_after_requests_are_cancelled(llm):
    inner = llm.llm_engine
    for i, request in enumerate(asked({"all": 1.0}, ignore_eos=True)):
        inner.add_request(f"x{i}", {"prompt_token_ids": list(request.prompt)}, sampling(request))
    for _ in range(4):
        inner.step()
    pool = scheduler(llm).kv_cache_manager.block_pool
    assert pool.get_num_free_blocks() < pool.num_gpu_blocks - 1
    inner.abort_request([f"x{i}" for i in range(len(PROMPTS))])
    while inner.has_unfinished_requests():
        inner.step()
    assert pool.get_num_free_blocks() == pool.num_gpu_blocks - 1


def test_a_swap_changes_the_arm_and_nothing_else(toy, llm, tmp_path):
    """To an adapter that adds nothing, and back; requests without weight never notice."""
    source = resolve(str(toy.folder))
    zeros = make_arm(tmp_path / "zeros", source, load_model(source, "float32"), seed=0, zeros=True, r=8)
    weights = {"all": 0.8}
    base, guided = tokens(llm, asked({}), "s0"), tokens(llm, asked(weights, guidance="contrast"), "s1")
    others = tokens(llm, asked({"top": 1.0}), "s2")
    assert guided != base
    for folder, wanted in ((zeros, base), (toy.arms["all"], guided)):
        assert llm.collective_rpc("swap_arm", args=("all", str(folder))) == [("done", "")]
        assert llm.reset_prefix_cache()
        assert tokens(llm, asked(weights, guidance="contrast"), f"s3{folder.name}") == wanted
        assert tokens(llm, asked({}), f"s4{folder.name}") == base
        assert tokens(llm, asked({"top": 1.0}), f"s5{folder.name}") == others


def test_a_larger_rank_and_lower_layers_go_into_the_room_that_was_left(toy, llm, tmp_path):
    source = resolve(str(toy.folder))
    model = load_model(source, "float32")
    larger = {
        "all": make_arm(tmp_path / "all", source, model, seed=11, r=8),
        "middle": make_arm(
            tmp_path / "middle",
            source,
            model,
            seed=12,
            r=7,
            layers_to_transform=[1, 2, 3],
            target_modules=LINEAR,
        ),
    }
    requests = asked({"all": 0.8, "middle": 0.5, "top": 0.3}, guidance={"all": "contrast"})
    before = tokens(llm, requests, "l0")
    wanted = load_decoder(str(toy.folder), {**toy.arms, **larger}, dtype="float32").generate(requests)
    for name, folder in larger.items():
        assert llm.collective_rpc("swap_arm", args=(name, str(folder))) == [("done", "")]
    assert llm.reset_prefix_cache()
    assert tokens(llm, requests, "l1") == [answer.tokens for answer in wanted] != before
    for name in larger:
        assert llm.collective_rpc("swap_arm", args=(name, str(toy.arms[name]))) == [("done", "")]
    assert llm.reset_prefix_cache()
    assert tokens(llm, requests, "l2") == before


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        (
            "top",
            {"layers_to_transform": [2], "target_modules": ["q_proj"]},
            r"layers\.2\..*lora_A\.weight is of layer 2, and its rows go .*3",
        ),
        ("all", {"r": 9}, r"lora_A\.weight has rank 9, and there is room for 8"),
        ("all", {"target_modules": ["q_proj", "lm_head"]}, r"lm_head\.base_layer\.weight', which is no"),
        ("other", {}, "there is no ARM 'other' to replace; hint: ARMs: all, middle"),
    ],
)
def test_an_arm_with_a_tensor_that_has_no_place_is_refused_whole(toy, llm, tmp_path, name, settings, says):
    source = resolve(str(toy.folder))
    folder = make_arm(tmp_path / "arm", source, load_model(source, "float32"), seed=1, **settings)
    before = tokens(llm, asked({"all": 0.8, "top": 0.5}), "before")
    [(outcome, why)] = llm.collective_rpc("swap_arm", args=(name, str(folder)))
    assert outcome == "refused" and re.search(says, why)
    assert llm.reset_prefix_cache()
    assert tokens(llm, asked({"all": 0.8, "top": 0.5}), "after") == before


def test_a_tensor_of_another_size_or_name_is_named(toy, llm, tmp_path):
    source = resolve(str(toy.folder))
    folder = make_arm(tmp_path / "arm", source, load_model(source, "float32"), seed=1, r=2)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    key = next(k for k in sorted(tensors) if "o_proj.lora_B" in k)
    for changed, says in (
        (tensors | {key: torch.zeros(65, 2)}, rf"{key} has size 65, the base 64"),
        (tensors | {f"{key}.extra": torch.zeros(2)}, rf"{key}\.extra', which is no LoRA factor"),
    ):
        save_file(changed, file)
        write_card(folder, card(source))
        [(outcome, why)] = llm.collective_rpc("swap_arm", args=("all", str(folder)))
        assert outcome == "refused" and re.search(says, why)


def test_rows_of_another_step_are_refused():
    readings = Readings(("kind",))
    logits, weights = torch.zeros(3, 5), torch.tensor([[1.0, 1.0, 0.0]] * 3)
    for rows in (None, torch.zeros(2, 2, 5), torch.zeros(4, 2, 5)):
        readings.rows = rows
        with pytest.raises(RuntimeError, match=r"3 rows of logits, 3 of weights"):
            readings.guide(logits, weights, weights)
    readings.rows = torch.ones(3, 2, 5)
    assert readings.guide(logits, weights, weights).eq(2).all()
    assert readings.rows is None, "taken once"


def test_a_row_without_weight_keeps_its_numbers_whatever_an_arm_overflowed_to():
    readings = Readings(("kind",))
    readings.rows = torch.tensor([[[1.0, 2.0], [torch.inf, torch.nan]], [[1.0, 2.0], [3.0, 4.0]]])
    weights = torch.tensor([[0.0, 0.0, 0.0], [-0.5, 0.5, 0.0]])
    guided = readings.guide(torch.tensor([[1.0, 2.0], [1.0, 2.0]]), weights, weights)
    assert guided.tolist() == [[1.0, 2.0], [2.0, 3.0]]
    assert readings.guided_rows == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"guidance.sum.other": 0.3}, "ARM 'other' is not loaded; hint: loaded ARMs: "),
        ({"guidance.sum.all": -0.1}, "weight of ARM 'all' is -0.1; hint: weights are numbers from 0"),
        ({"guidance.sum.all": float("nan")}, "weight of ARM 'all' is nan"),
        ({"guidance.sum.all": "much"}, "weight of ARM 'all' is 'much'"),
        ({"guidance.rewards": 1}, "guidance.rewards with logprobs None; hint: they take the place of"),
        ({"guidance.all": 0.3}, "vllm_xargs has 'guidance.all'"),
        ({"guidance.sum.all": 0.3, "guidance.contrast.all": 0.3}, "ARM 'all' has two weights"),
    ],
)
def test_weights_that_make_no_sense_are_the_clients_error(llm, arguments, says):
    params = SamplingParams(max_tokens=1, extra_args=arguments)
    with pytest.raises(VLLMValidationError, match=says):
        llm.llm_engine.add_request("refused", {"prompt_token_ids": [1]}, params)


def test_what_guidance_does_not_work_with_is_refused_at_the_start(toy):
    with pytest.raises(Exception, match="guidance in vLLM does not work with pipeline parallelism"):
        engine(toy, "GuidedLlamaForCausalLM", pipeline_parallel_size=2)

"""In vLLM, tokens are drawn from softmax((log p_base + sum_i w_i r_i) / T), and the cuts are of that.

First tokens of one prompt in four settings, all in one batch. The reference is made by passes of transformers
and PEFT. Greedy tokens cannot tell whether guidance is added before temperature and cuts.
"""

from collections import Counter

import pytest

pytest.importorskip("vllm.sampling_params", reason="vLLM is not installed here: make serve-vllm")

import torch
from toy_arms import TOKENS, as_peft_loads_it, chances_of
from toy_vllm import engine, guided_toy, sampling
from toys import byte_tokenizer

from genarm.decoding import GuidedRequest
from genarm.models import load_model, resolve

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.filterwarnings("default")]  # vLLM warns a lot

PROMPT = tuple(range(100, 111))
DRAWS = 240
SETTINGS = [
    {"temperature": 1.0, "top_p": 0.9},
    {"temperature": 1.0, "top_k": 6},
    {"temperature": 0.7, "top_p": 0.9},
    {"temperature": 0.7, "top_k": 12, "top_p": 0.9},
]
# Of right draws, one setting in 1,000 would be refused by chance; seeds are fixed, so a test that passes once
# fails only where the draws or their chances change.
LEVEL = 1e-3
WRONG = 1e-9  # what the draws may be taken for, at most, under another order of the same steps


def request(setting) -> GuidedRequest:
    """The paper's sum by one ARM, contrast by another."""
    weights = {"all": 1.0, "top": 1.0}
    return GuidedRequest(PROMPT, weights, max_new_tokens=1, guidance={"top": "contrast"}, **setting)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return guided_toy("llama", tmp_path_factory.mktemp("toy"), byte_tokenizer(), vocab_size=TOKENS)


@pytest.fixture(scope="module")
def drawn(toy):
    """How often each token was drawn, by setting."""
    # whole prompts: on a CPU, vLLM 0.32 cannot put off the draw of a request with a seed
    llm = engine(toy, "GuidedLlamaForCausalLM", max_num_batched_tokens=192)
    params = [
        sampling(request(s), n=DRAWS, seed=DRAWS * i) for i, s in enumerate(SETTINGS)
    ]  # to seed + n - 1
    outputs = llm.generate([{"prompt_token_ids": list(PROMPT)}] * len(params), params, use_tqdm=False)
    return [Counter(one.token_ids[0] for one in output.outputs) for output in outputs]


@pytest.fixture(scope="module")
def reads(toy):
    """log p_base [v], and what both ARMs add to it [v]."""
    base = load_model(resolve(str(toy.folder)), "float32")
    with torch.no_grad():
        logp, total, top = (
            model(input_ids=torch.tensor([PROMPT])).logits[0, -1].log_softmax(-1)
            for model in (base, *(as_peft_loads_it(base, toy.arms[name]) for name in ("all", "top")))
        )
    return logp, total + top - logp


def p_value(counts: Counter[int], chances: list[float]) -> float:
    """Of Pearson's chi-square test; 0 for an impossible draw. Tokens that are rare share a cell."""
    scale = counts.total() / sum(chances)
    if not all(chances[token] for token in counts):
        return 0.0
    cells: dict[int, tuple[float, int]] = {}
    for token, chance in enumerate(chances):
        if chance:
            cell = token if chance * scale >= 5 else -1
            expected, observed = cells.get(cell, (0.0, 0))
            cells[cell] = expected + chance * scale, observed + counts[token]
    statistic = sum((observed - expected) ** 2 / expected for expected, observed in cells.values())
    half = torch.tensor([(len(cells) - 1) / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


@pytest.mark.parametrize("i", range(len(SETTINGS)), ids=lambda i: str(SETTINGS[i]))
def test_draws_are_from_the_guided_distribution_after_temperature_and_cuts(drawn, reads, i):
    logp, added = reads
    chances = chances_of(logp + added, request(SETTINGS[i]))
    kept = sum(map(bool, chances))
    p = p_value(drawn[i], chances)
    print(f"{SETTINGS[i]}: {len(drawn[i])} of {kept} tokens drawn, p = {p:.3f}")
    assert drawn[i].total() == DRAWS
    assert all(chances[token] for token in drawn[i]), "a token that was cut"
    assert p > LEVEL


@pytest.mark.parametrize("i", range(len(SETTINGS)), ids=lambda i: str(SETTINGS[i]))
def test_the_same_draws_are_refused_under_another_order_of_the_steps(drawn, reads, i):
    """Cuts of the base before the ARMs are added; the ARMs added after temperature, where there is one."""
    logp, added = reads
    setting = request(SETTINGS[i])
    in_base = torch.tensor(chances_of(logp, setting)) > 0
    others = {"the base's": chances_of(logp, setting)}
    others["cut first"] = (
        torch.where(in_base, (logp + added) / setting.temperature, -torch.inf).softmax(-1).tolist()
    )
    if setting.temperature != 1:
        others["added last"] = chances_of(logp + setting.temperature * added, setting)
    for name, chances in others.items():
        p = p_value(drawn[i], chances)
        print(f"{SETTINGS[i]}, {name}: p = {p:.1e}")
        assert p < WRONG, name

"""`guidance_rewards` in vLLM are those of the built-in engine, whoever else is in the batch.

The server of `genarm serve --engine vllm` over the Llama toy, in float32; log-probabilities within 5e-4,
where logits are ten times as loud as a language model's.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("vllm.sampling_params", reason="vLLM is not installed here: make serve-vllm")

import torch
from served_toy import served_toy
from vllm.v1.outputs import LogprobsTensors, SamplerOutput

from genarm.decoding import GuidedRequest, load_decoder
from genarm.types import Message
from genarm.vllm.readings import Readings
from genarm.vllm.rewards import Asked
from genarm.vllm.telling import TellingSampler

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.filterwarnings("default")]
BOTH = {"kind": "contrast", "curt": "sum"}
ASKED = [
    {"model": "guided"},
    {"model": "guided:curt@1"},
    {"model": "base"},
    {"model": "guided", "guidance": {"kind": 1.5}},
    {"model": "guided", "guidance": {"kind": 0.0, "curt": 0.9}},
]
WEIGHTS = [{"kind": 0.8, "curt": 0.4}, {"curt": 0.4}, {}, {"kind": 1.5}, {"curt": 0.9}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served_toy(tmp_path_factory.mktemp("rewards")) as served:
        yield served


@pytest.fixture(scope="module")
def wanted(server):
    """The built-in engine's responses to `ASKED`, greedy."""
    toy, _ = server
    decoder = load_decoder(
        str(toy.folder), {"kind": toy.arms["all"], "curt": toy.arms["top"]}, dtype="float32"
    )
    prompt = decoder.prompt([Message("user", "How was it?")])
    asked = [
        GuidedRequest(
            prompt,
            weights,
            temperature=0.0,
            max_new_tokens=12,
            guidance={d: BOTH[d] for d in weights},
            return_rewards=True,
        )
        for weights in WEIGHTS
    ]
    return prompt, decoder.generate(asked)


def same(part, answer):
    """A choice that tells its rewards, as the built-in engine has them."""
    told = part["guidance_rewards"]
    assert tuple(reward["id"] for reward in told) == answer.tokens
    for reward, ours in zip(told, answer.rewards, strict=True):
        assert reward["base"] == pytest.approx(ours.base, abs=5e-4)
        assert reward["guided"] == pytest.approx(ours.guided, abs=5e-4)
        assert reward["arms"] == pytest.approx(dict(ours.arms), abs=5e-4)
    assert part["base_logprob"] == pytest.approx(answer.base_logprob, abs=5e-3)
    assert part["kl"] == pytest.approx(answer.kl, abs=5e-4)
    text = "".join(reward["text"] for reward in told)
    assert answer.text.rstrip("\ufffd") == text.rstrip(
        "\ufffd"
    )  # vLLM leaves out half a character at the end
    if "delta" not in part:
        assert text == (part["message"]["content"] if "message" in part else part["text"])


def test_of_chats_and_completions_whole_and_streamed_all_at_once(server, wanted):
    """Twenty requests in four slots, half of which tell nothing or log-probabilities of the client's own."""
    _, client = server
    prompt, answers = wanted

    def ask(i):
        fields, rewards = ASKED[i % 5], {"temperature": 0, "max_tokens": 12, "guidance_rewards": True}
        chat = {"messages": [{"role": "user", "content": "How was it?"}]}
        if i < 5:
            said = client.post("/v1/chat/completions", json=fields | rewards | chat)
        elif i < 10:
            said = client.post("/v1/completions", json=fields | rewards | {"prompt": list(prompt)})
        elif i < 15:
            asked = {"logprobs": True, "top_logprobs": 2, "guidance_rewards": False}
            said = client.post("/v1/chat/completions", json=fields | rewards | chat | asked)
        else:
            asked = {"stream": True, "stream_options": {"include_usage": True}}
            said = client.post("/v1/chat/completions", json=fields | rewards | chat | asked)
        assert said.status_code == 200, said.text
        return said

    with ThreadPoolExecutor(20) as pool:
        said = list(pool.map(ask, range(20)))
    versions = {"kind": 3, "curt": 1}
    for i, one in enumerate(said[:10]):
        (part,) = one.json()["choices"]
        same(part, answers[i % 5])
        used = {d: versions[d] for d, weight in WEIGHTS[i % 5].items() if weight}
        assert one.json()["genarm"] == {"versions": used, "weights": WEIGHTS[i % 5], "seed": None}
        assert part["logprobs"] is None and "token_ids" not in part
    for i, one in enumerate(said[10:15]):
        (part,) = one.json()["choices"]
        assert "guidance_rewards" not in part
        tokens = part["logprobs"]["content"]
        assert len(tokens) == len(answers[i].tokens) and all(len(t["top_logprobs"]) == 2 for t in tokens)
    for i, one in enumerate(said[15:]):
        events = [json.loads(line[6:]) for line in one.text.splitlines() if line.startswith("data: {")]
        parts = [part for event in events for part in event["choices"]]
        assert ["genarm" in event for event in events] == [True] + [False] * (len(events) - 1)
        told = [reward for part in parts for reward in part.get("guidance_rewards", [])]
        same({**parts[-1], "guidance_rewards": told}, answers[i])
        assert events[-1]["usage"]["completion_tokens"] == len(told)


def test_log_probabilities_besides_and_the_kl_of_what_was_drawn(server):
    """A client's own log-probabilities are those that it gets without rewards; KL goes into the metrics."""
    _, client = server
    chat = {"model": "guided", "messages": [{"role": "user", "content": "Well?"}], "max_tokens": 6}
    chat |= {"temperature": 0, "logprobs": True, "top_logprobs": 3}
    plain, told = (
        client.post("/v1/chat/completions", json=chat | more).json()["choices"][0]
        for more in ({}, {"guidance_rewards": True})
    )
    assert told["logprobs"] == plain["logprobs"] and len(told["guidance_rewards"]) == 6

    def observed():
        lines = client.get("/metrics").text.splitlines()
        found = (line.split(" ") for line in lines if line.startswith("genarm_kl_nats_"))
        return {name: float(value) for name, value in found}

    before = observed()
    drawn = chat | {"n": 3, "temperature": 1.0, "guidance_rewards": True}
    drawn |= {"logprobs": False, "top_logprobs": 0}
    choices = client.post("/v1/chat/completions", json=drawn).json()["choices"]
    after = observed()
    assert after["genarm_kl_nats_count"] - before["genarm_kl_nats_count"] == 3
    grown = after["genarm_kl_nats_sum"] - before["genarm_kl_nats_sum"]
    assert grown == pytest.approx(sum(choice["kl"] for choice in choices), rel=1e-6) and grown > 0


def test_beams_are_refused_where_they_would_not_be_guided(server):
    _, client = server
    asked = {"prompt": "Well", "max_tokens": 2, "use_beam_search": True, "n": 2, "temperature": 0}
    assert client.post("/v1/completions", json=asked | {"model": "guided"}).status_code == 400
    assert client.post("/v1/completions", json=asked | {"model": "base"}).status_code == 200


@pytest.mark.parametrize("width", [2, 6])
def test_columns_come_before_the_likeliest_tokens_of_those_rows_alone(width):
    """By hand: two rows over four tokens, of which the second is told; the sampler is any callable.

    What vLLM has masked in the guided logits has no part in it, nor have ids beyond the tokens. A table that
    another request made narrower is widened.
    """
    readings = Readings(("kind",), tokens=3)
    readings.rows = torch.tensor([[[0.0, 0, 0, 9], [0, 0, 0, 9]], [[1.0, 2, 3, 9], [3, 2, 1, 9]]])
    logits = readings.rows[:, 0].clone()
    logits[:, 2:] = -torch.inf
    coefficients = torch.tensor([[0.0, 0, 0], [0, 2, 1]])
    readings.guide(logits, coefficients, coefficients)
    ids = torch.tensor([[2, 0, 1, 2, 0, 1], [1, 0, 1, 2, 0, 1]], dtype=torch.int32)[:, :width]
    given = LogprobsTensors(ids, torch.arange(12.0).view(2, 6)[:, :width], torch.tensor([1, 1]))
    output = SamplerOutput(torch.tensor([[2], [1]], dtype=torch.int32), given)
    told = TellingSampler(lambda: output, readings)().logprobs_tensors
    assert told.logprob_token_ids[0, :width].tolist() == ids[0].tolist()
    assert told.logprobs[0, :width].tolist() == given.logprobs[0].tolist()
    assert len(set(told.logprob_token_ids[1, :5].tolist())) == 5
    base = torch.tensor([1.0, 2, 3]).log_softmax(-1)
    policy = torch.tensor([7.0, 6, 5]).log_softmax(-1)
    kl = (policy.exp() * (policy - base)).sum()
    wanted = [6.0, base[1], policy[1], kl, torch.tensor([3.0, 2, 1]).log_softmax(-1)[1]]
    torch.testing.assert_close(told.logprobs[1, :5], torch.tensor([float(value) for value in wanted]))
    assert told.logprobs[1, 5:].tolist() == ([7.0] if width == 6 else [])
    assert readings.asked is None
    assert TellingSampler(lambda: output, readings)() is output  # told once


def test_many_rows_are_measured_a_few_at_a_time_as_all_at_once():
    torch.manual_seed(0)
    read, coefficients = torch.randn(30, 3, 50), torch.rand(20, 3)
    coefficients[3] = 0
    rows, drawn = torch.randperm(30)[:20], torch.randint(50, (30,))
    asked = Asked.of(rows, read, coefficients)
    guided = (read[rows, 0] + torch.einsum("mc,mcv->mv", coefficients, read[rows])).log_softmax(-1)
    logp = read[rows].log_softmax(-1)
    wanted = torch.cat(
        [
            logp[torch.arange(20), 0, drawn[rows], None],
            guided[torch.arange(20), drawn[rows], None],
            (guided.exp() * (guided - logp[:, 0])).sum(-1, keepdim=True),
            logp[torch.arange(20), 1:, drawn[rows]],
        ],
        dim=1,
    )
    torch.testing.assert_close(asked.of_drawn(drawn), wanted)
    assert wanted[3, 2] == 0

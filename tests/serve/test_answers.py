"""Over HTTP come the tokens that the decoder gives itself: whole and streamed, guided and not."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from openai import NotFoundError, OpenAI
from served_toys import ASKED, HELLO, own, running, streamed

from genarm.decoding import GuidedRequest
from genarm.serve.service import Service
from genarm.serve.settings import ServeSettings


@pytest.fixture
def openai(address):
    with OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.mark.parametrize(
    ("model", "guidance", "weights", "versions"),
    [
        ("guided", None, {"kind": 0.8, "curt": 0.4}, {"kind": 3, "curt": 1}),
        ("base", None, {}, {}),
        ("guided:kind@3", None, {"kind": 0.8}, {"kind": 3}),
        ("guided", {"curt": 1.5}, {"curt": 1.5}, {"curt": 1}),
        ("guided", {}, {}, {}),
    ],
)
def test_a_chat_is_answered_as_the_decoder_answers(client, lineup, model, guidance, weights, versions):
    want = own(lineup, weights=weights)
    body = ASKED | {"messages": HELLO, "model": model, "guidance": guidance, "guidance_rewards": True}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    got = answer.json()
    [choice] = got["choices"]
    assert choice["message"]["content"] == want.text and choice["finish_reason"] == want.finish_reason
    assert tuple(reward["id"] for reward in choice["guidance_rewards"]) == want.tokens
    assert choice["kl"] == pytest.approx(want.kl, abs=1e-5)
    assert choice["base_logprob"] == pytest.approx(want.base_logprob, abs=1e-4)
    for told, reward in zip(choice["guidance_rewards"], want.rewards, strict=True):
        assert told["guided"] == pytest.approx(reward.guided, abs=1e-4)
        assert told["arms"] == pytest.approx(dict(reward.arms), abs=1e-4)
    assert got["genarm"] == {"versions": versions, "weights": weights, "seed": 5}
    assert got["usage"]["completion_tokens"] == len(want.tokens)
    assert got["usage"]["prompt_tokens"] == len(lineup.decoder.prompt("hello"))


def test_a_stream_says_the_same_and_ends_with_its_usage(client, lineup):
    want = own(lineup, top_p=0.9)
    body = ASKED | {"messages": HELLO, "top_p": 0.9, "logprobs": True, "guidance_rewards": True}
    chunks = streamed(client, body | {"stream_options": {"include_usage": True}})
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == len(want.tokens)
    parts = [chunk["choices"][0] for chunk in chunks[1:-1]]
    assert "".join(part["delta"].get("content", "") for part in parts) == want.text
    assert [part["finish_reason"] for part in parts] == [None] * len(want.tokens) + [want.finish_reason]
    told = [token for part in parts if part["logprobs"] for token in part["logprobs"]["content"]]
    assert [t["logprob"] for t in told] == pytest.approx([r.guided for r in want.rewards], abs=1e-4)


def test_what_a_request_leaves_out_is_as_the_server_is_set(lineup):
    """Sampling is part of what the champions were decided under, cuts and stop strings too."""
    free = own(lineup, temperature=0.5).text
    set_so = {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "stop": (free[2],)}
    service = Service(lineup, ServeSettings(max_tokens=12, **set_so))
    plain = {name: value for name, value in ASKED.items() if name not in set_so}
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:

        def text(**more) -> str:
            body = plain | {"messages": HELLO} | more
            [choice] = client.post("/v1/chat/completions", json=body).json()["choices"]
            return choice["message"]["content"]

        assert text() == own(lineup, **set_so).text
        assert text(stop=[], top_k=0, top_p=1) == free and free != text()


def test_n_responses_have_seeds_in_a_row(client, lineup):
    wanted = [own(lineup, seed=5 + i).text for i in range(3)]
    got = client.post("/v1/chat/completions", json=ASKED | {"messages": HELLO, "n": 3}).json()
    assert [choice["message"]["content"] for choice in got["choices"]] == wanted
    texts = ["", "", ""]
    for chunk in streamed(client, ASKED | {"messages": HELLO, "n": 3}):
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == wanted


def test_completions_take_texts_and_token_ids_and_stop(client, lineup):
    decoder = lineup.decoder
    ids = tuple(decoder.tokenizer("abc")["input_ids"])
    request = GuidedRequest(ids, max_new_tokens=12, seed=5, return_rewards=True)
    [want] = decoder.generate([request])
    body = ASKED | {"model": "base", "logprobs": 0}
    for prompt in ("abc", list(ids), ["abc"], [list(ids)]):
        [choice] = client.post("/v1/completions", json=body | {"prompt": prompt}).json()["choices"]
        assert choice["text"] == want.text
        logprobs = choice["logprobs"]["token_logprobs"]
        assert logprobs == pytest.approx([r.guided for r in want.rewards], abs=1e-4)
    stop = want.text[3:5]
    got = client.post("/v1/completions", json=body | {"prompt": "abc", "stop": stop}).json()["choices"][0]
    assert got["text"] == want.text[: want.text.index(stop)] and got["finish_reason"] == "stop"


def test_32_streams_at_once_do_not_mix(client, lineup):
    def ask(i):
        model = ("base", "guided", "guided:kind@3", "guided:curt@1")[i % 4]
        body = {"messages": [{"role": "user", "content": f"number {i}"}], "model": model, "seed": i}
        chunks = streamed(client, ASKED | body | {"max_tokens": 6 + i})
        return "".join(choice["delta"].get("content", "") for c in chunks for choice in c["choices"])

    with ThreadPoolExecutor(32) as pool:
        texts = list(pool.map(ask, range(32)))
    for i, text in enumerate(texts):
        both = {"kind": 0.8, "curt": 0.4}
        weights = ({}, both, {"kind": 0.8}, {"curt": 0.4})[i % 4]
        assert text == own(lineup, f"number {i}", weights, seed=i, max_new_tokens=6 + i).text


def test_the_openai_client_lists_asks_and_streams(openai, lineup):
    names = [model.id for model in openai.models.list()]
    assert names == ["base", "guided", "guided:kind@3", "guided:curt@1"]
    want = own(lineup).text
    asked = ASKED | {"messages": HELLO, "extra_body": {"guidance": {"kind": 0.8, "curt": 0.4}}}
    answer = openai.chat.completions.create(**asked)
    assert answer.choices[0].message.content == want and answer.genarm["seed"] == 5
    pieces = list(
        openai.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == want
    assert pieces[-1].usage.total_tokens > 12
    with pytest.raises(NotFoundError, match="guided:kind@3"):
        openai.chat.completions.create(**(asked | {"model": "guided:kind@4"}))


def test_the_arms_and_the_metrics_say_what_is_served(client, lineup):
    arms = client.get("/v1/arms").json()["data"]
    assert [(a["dimension"], a["version"], a["weight"], a["guidance"]) for a in arms] == [
        ("kind", 3, 0.8, "contrast"),
        ("curt", 1, 0.4, "sum"),
    ]
    client.post("/v1/chat/completions", json=ASKED | {"messages": HELLO})
    text = client.get("/metrics").text
    assert 'genarm_requests_total{path="/v1/chat/completions",status="200"}' in text
    assert 'genarm_arm_version{dimension="kind"} 3.0' in text
    assert "genarm_open_responses 0.0" in text and "genarm_time_to_first_token_seconds_count" in text
    assert client.get("/health").status_code == client.get("/ready").status_code == 200

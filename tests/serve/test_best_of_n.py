"""A version that is best of n: whole answers, those of the decoder that chooses; a stream is refused."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from served_toys import ASKED, HELLO, running, streamed
from toy_arms import make_arm

from genarm.baselines.best_of_folder import write_best_of
from genarm.baselines.training.policy import POLICY
from genarm.decoding import GuidedRequest
from genarm.models import resolve
from genarm.models.arm import adapter_hash
from genarm.pipeline.served import open_served
from genarm.serve.lineup import Lineup, ServedArm
from genarm.serve.service import Service
from genarm.types import Champion, Message

# peft 0.21 asks transformers 5.23 by the old name
CHAT = "/v1/chat/completions"
GOOD = ASKED | {"messages": HELLO}


@pytest.fixture(scope="module")
def choosing(toy, arms, tmp_path_factory):
    """`kind` is the best of 4 by an ARM, `curt` an ARM."""
    source, root = resolve(str(toy.folder)), tmp_path_factory.mktemp("best")
    scorer = make_arm(root / "scorer", source, toy.model, seed=3)
    write_best_of(
        scorer, 4, "arm", out=root / "best", dimension="kind", base=source, dtype="float32",
        provenance=POLICY, params={},
    )  # fmt: skip
    folders = {"kind": root / "best", "curt": arms["curt"]}
    return folders, open_served(source, folders, dtype="float32", batch_size=8)


@pytest.fixture(scope="module")
def lineup(choosing):
    folders, decoder = choosing
    served = {
        d: ServedArm(d, Champion(1, "m", adapter_hash(folder), {"kind": 1.0, "curt": 0.4}[d]))
        for d, folder in folders.items()
    }
    return Lineup(decoder.engine, "toy", served, choosing=decoder)


@pytest.fixture(scope="module")
def client(lineup):
    with running(Service(lineup)) as address, httpx.Client(base_url=address, timeout=60) as made:
        yield made


def chosen(choosing, weights, seed=5, **asked):
    """The decoder's own answer, asked for while no request is open: it is one for both threads."""
    _, decoder = choosing
    prompt = decoder.prompt([Message("user", "hello")])
    return decoder.generate([GuidedRequest(prompt, weights, max_new_tokens=12, seed=seed, **asked)])[0]


def test_the_best_is_answered_whole_with_its_tokens(client, choosing):
    both, curt = {"kind": 1.0, "curt": 0.4}, {"curt": 0.4}
    seed = next(s for s in range(9) if chosen(choosing, both, s).text != chosen(choosing, curt, s).text)
    want = chosen(choosing, both, seed)  # not the first of the four
    body = GOOD | {"seed": seed, "guidance_rewards": True, "logprobs": True, "top_logprobs": 2}
    answer = client.post(CHAT, json=body)
    assert answer.status_code == 200, answer.text
    [choice] = answer.json()["choices"]
    assert choice["message"]["content"] == want.text
    assert tuple(reward["id"] for reward in choice["guidance_rewards"]) == want.tokens
    assert len(choice["logprobs"]["content"]) == len(want.tokens)
    assert answer.json()["usage"]["completion_tokens"] == len(want.tokens)
    assert answer.json()["genarm"]["versions"] == {"kind": 1, "curt": 1}
    texts = [chosen(choosing, {"kind": 1.0}, seed).text for seed in (5, 6)]
    several = client.post(CHAT, json=GOOD | {"n": 2, "model": "guided:kind@1"}).json()["choices"]
    assert [choice["message"]["content"] for choice in several] == texts


def test_a_stream_is_refused_with_the_reason_and_others_stream_on(client, choosing):
    answer = client.post(CHAT, json=GOOD | {"stream": True})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert "chooses among whole responses" in error["message"] and error["param"] == "stream"
    weight = client.post(CHAT, json=GOOD | {"guidance": {"kind": 0.5}})
    assert weight.status_code == 400 and "no strength" in weight.json()["error"]["message"]
    alone = chosen(choosing, {"curt": 0.4}).text
    best = chosen(choosing, {"kind": 1.0, "curt": 0.4}).text
    with ThreadPoolExecutor(6) as pool:
        whole = [pool.submit(client.post, CHAT, json=GOOD) for _ in range(3)]
        streams = [pool.submit(streamed, client, GOOD | {"guidance": {"curt": 0.4}}) for _ in range(3)]
        for chunks in (future.result() for future in streams):
            assert "".join(c["delta"].get("content", "") for p in chunks for c in p["choices"]) == alone
        assert [f.result().json()["choices"][0]["message"]["content"] for f in whole] == [best] * 3

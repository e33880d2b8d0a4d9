"""Rewards on their way through vLLM's server: what is asked, refused and sent on, however bytes are cut."""

import asyncio
import json

import pytest
from toys import byte_tokenizer

from genarm.serve.errors import ApiError
from genarm.serve.lineup import Guide
from genarm.serve.vllm_rewards import REWARDS, ToldRewards, check_told, spelling_of
from genarm.serve.vllm_rewriting import Rewriting

GUIDE = Guide("guided", {"kind": 0.8, "curt": 0.4}, {"kind": "contrast", "curt": "sum"}, {"kind": 3}, {})
FIELDS = {"model": "guided", "vllm_xargs": {"guidance.sum.curt": 0.4}}
# drawn, base, guided, KL, curt, kind (the engine's order), then the likeliest token
TOPS = [-1.0, -2.0, -1.5, 0.25, -3.0, -0.5, -0.1]
WANTED = {"id": 7, "text": "<7>", "base": -2.0, "guided": -1.5, "arms": {"curt": -3.0, "kind": 1.5}}


def told(chat=True, **fields) -> ToldRewards:
    return ToldRewards(FIELDS | fields, GUIDE, ("curt", "kind"), lambda: "<{}>".format, chat)


def chunk(index=0, finish=None, chat=True, tokens=1):
    """What vLLM sends: numbers among likeliest tokens, and ids of tokens."""
    if chat:
        one = {"token": "x", "logprob": -1.0, "top_logprobs": [{"token": "", "logprob": v} for v in TOPS]}
        said = {"content": [json.loads(json.dumps(one)) for _ in range(tokens)]}
    else:
        said = {"tokens": ["token_id:7"], "top_logprobs": [{f"token_id:{i}": v for i, v in enumerate(TOPS)}]}
    part = {"index": index, "logprobs": said, "token_ids": [7] * tokens, "finish_reason": finish}
    return {"choices": [part], "prompt_token_ids": [1]}


def test_what_is_asked_of_vllm_for_it():
    chat = json.loads(told(logprobs=True, top_logprobs=2).body)
    assert chat["top_logprobs"] == 1 + 5 + 2 and chat["logprobs"] is chat["return_token_ids"] is True
    assert chat["vllm_xargs"] == {"guidance.sum.curt": 0.4, REWARDS: 1}
    completion = json.loads(told(chat=False).body)
    assert completion["logprobs"] == 5 and completion["return_tokens_as_token_ids"] is True


@pytest.mark.parametrize(
    ("fields", "chat", "says"),
    [
        ({"logprobs": 2}, False, "logprobs is not told together with guidance_rewards"),
        ({"logprobs": 0}, False, "logprobs is not told together"),
        ({"echo": True}, False, "echo is not told together"),
        ({"logprob_token_ids": [3], "logprobs": True}, True, "logprob_token_ids is not told together"),
        ({"logprobs": True, "top_logprobs": 21}, True, "top_logprobs is no number from 0 to 20"),
        ({"logprobs": True, "top_logprobs": -1}, True, "top_logprobs is no number from 0 to 20"),
        ({"logprobs": True, "top_logprobs": "2"}, True, "top_logprobs is no number from 0 to 20"),
        ({"top_logprobs": 2}, True, "top_logprobs is of requests with logprobs"),
    ],
)
def test_what_would_be_told_in_the_same_place_is_refused(fields, chat, says):
    with pytest.raises(ApiError, match=says) as refused:
        check_told(FIELDS | fields, chat=chat)
    assert refused.value.status == 400


@pytest.mark.parametrize("chat", [True, False])
def test_a_token_as_the_built_in_engine_tells_it(chat):
    """Under contrast a reward is less the base's log-probability: -0.5 + 2.0."""
    answer = json.loads(told(chat).answer(json.dumps(chunk(finish="stop", chat=chat)).encode()))
    (part,) = answer["choices"]
    assert part["guidance_rewards"] == [WANTED]
    assert (part["base_logprob"], part["kl"], part["logprobs"]) == (-2.0, 0.25, None)
    assert "token_ids" not in part and "prompt_token_ids" not in answer


def test_what_the_client_asked_for_besides_is_left():
    asked = told(logprobs=True, top_logprobs=2, return_token_ids=True)
    answer = json.loads(asked.answer(json.dumps(chunk(tokens=2)).encode()))
    (part,) = answer["choices"]
    assert [[t["logprob"] for t in one["top_logprobs"]] for one in part["logprobs"]["content"]] == [
        [-1.0, -0.1],
        [-1.0, -0.1],
    ]
    assert (answer["prompt_token_ids"], part["token_ids"]) == ([1], [7, 7]) and "kl" not in part


def test_tokens_are_spelled_as_text_and_not_one_by_one():
    tokenizer = byte_tokenizer()
    spell = spelling_of(tokenizer)()
    ids = tokenizer.encode("aé", add_special_tokens=False)
    assert [spell(token) for token in ids] == ["a", "", "é"]


def sent(asked: ToldRewards, kind: bytes, pieces: list[bytes], status: int = 200) -> tuple[dict, bytes]:
    """The headers and the body that a client gets of an answer in these pieces."""
    out = []

    async def send(message):
        out.append(message)

    async def answer():
        rewriting = Rewriting(asked, send)
        headers = [(b"content-type", kind), (b"content-length", b"%d" % sum(map(len, pieces)))]
        await rewriting({"type": "http.response.start", "status": status, "headers": headers})
        for i, piece in enumerate(pieces):
            more = i < len(pieces) - 1
            await rewriting({"type": "http.response.body", "body": piece, "more_body": more})

    asyncio.run(answer())
    assert [message["type"] for message in out[:1]] == ["http.response.start"]
    return dict(out[0]["headers"]), b"".join(message.get("body", b"") for message in out[1:])


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_a_stream_is_told_event_by_event_however_its_bytes_are_cut(size):
    said = [chunk(0), chunk(1), chunk(0, "length"), chunk(1, "stop"), {"choices": [], "usage": {}}]
    stream = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in said) + b"data: [DONE]\n\n"
    asked = told()
    pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    _, body = sent(asked, b"text/event-stream; charset=utf-8", pieces)
    *events, done, end = body.split(b"\n\n")
    assert (done, end) == (b"data: [DONE]", b"")
    parts = [part for event in events for part in json.loads(event[6:])["choices"]]
    assert [part["guidance_rewards"] for part in parts] == [[WANTED]] * 4
    assert [part.get("base_logprob") for part in parts] == [None, None, -4.0, -4.0]
    assert asked.kl() == [0.25, 0.25]
    assert json.loads(events[0][6:])["genarm"]["versions"] == {"kind": 3} and b"genarm" not in events[1]


def test_a_whole_answer_has_its_own_length_and_an_error_passes_as_it_is():
    content = json.dumps(chunk(finish="stop")).encode()
    headers, body = sent(told(), b"application/json", [content[:20], content[20:]])
    assert int(headers[b"content-length"]) == len(body) and json.loads(body)["choices"][0]["kl"] == 0.25
    error = b'{"error": {"message": "no"}}'
    assert sent(told(), b"application/json", [error], 400)[1] == error
